/**
 * Instance metadata of one instance, version 2: a token first, then everything else with it.
 *
 * @see Amazon EC2 User Guide, "Use the Instance Metadata Service to access instance metadata"
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { Clock } from '#clock.ts'
import type { Account } from './account.ts'
import { type AccessKey, type AccessKeys, sameText } from './credentials.ts'
import type { SessionPrincipal } from './principal.ts'

/** Which instance it is, and how far its clients are. */
export interface InstanceSettings {
  readonly account: Account
  /** Name of the instance profile; its role is looked up at each request. */
  readonly profile: string
  readonly region: string
  readonly keys: AccessKeys
  readonly clock: Clock
  /**
   * How many network hops a token answer survives, `HttpPutResponseHopLimit`. A client on the instance needs 1, one in
   * a container 2: with `clientHops` above the limit the answer never arrives.
   */
  readonly hopLimit?: number
  readonly clientHops?: number
}

/** The metadata service of an instance that runs. */
export interface Instance extends AsyncDisposable {
  /** For `AWS_EC2_METADATA_SERVICE_ENDPOINT`. */
  readonly endpoint: string
  readonly instanceId: string
}

const sessionSeconds = 6 * 3600
/** New credentials come this long before the old ones end. */
const renewalMs = 10 * 60_000

/** Starts the metadata service of an instance on a free port of 127.0.0.1. */
export async function startInstance(settings: InstanceSettings): Promise<Instance> {
  const { account, clock, hopLimit = 1, clientHops = 1, keys, profile, region } = settings
  const instanceId = `i-0${randomBytes(8).toString('hex')}`
  const tokens = new Map<string, Date>()
  let current: AccessKey | undefined

  const credentials = (): Record<string, string> | undefined => {
    const role = account.instanceProfiles.get(profile)?.role
    if (!role) return undefined
    const expires = current?.expiration?.getTime() ?? 0
    if (!current || expires - clock().getTime() < renewalMs) {
      const principal: SessionPrincipal = {
        kind: 'session',
        account,
        role,
        sessionName: instanceId,
        arn: `arn:${account.partition}:sts::${account.id}:assumed-role/${role.name}/${instanceId}`,
        userId: `${role.id}:${instanceId}`,
        origin: 'instance',
        chained: false,
        policies: [],
        sourceIdentity: undefined,
        tags: new Map(),
        transitiveTagKeys: [],
        issuedAt: clock(),
      }
      current = keys.issue(principal, sessionSeconds)
    }
    return {
      Code: 'Success',
      LastUpdated: timestamp(current.createdAt),
      Type: 'AWS-HMAC',
      AccessKeyId: current.accessKeyId,
      SecretAccessKey: current.secretAccessKey.reveal(),
      Token: current.sessionToken?.reveal() ?? '',
      Expiration: timestamp(current.expiration ?? clock()),
    }
  }

  const metadata = (path: string): string | undefined => {
    const role = account.instanceProfiles.get(profile)?.role
    const zone = `${region}a`
    switch (path.replace(/\/$/, '')) {
      case '/latest/meta-data/instance-id':
        return instanceId
      case '/latest/meta-data/placement/region':
        return region
      case '/latest/meta-data/placement/availability-zone':
        return zone
      case '/latest/meta-data/services/partition':
        return account.partition
      case '/latest/meta-data/iam/info': {
        const found = account.instanceProfiles.get(profile)
        const info = found && {
          Code: 'Success',
          LastUpdated: timestamp(clock()),
          InstanceProfileArn: found.arn,
          InstanceProfileId: found.id,
        }
        return info && JSON.stringify(info)
      }
      case '/latest/meta-data/iam/security-credentials':
        return role?.name
      case `/latest/meta-data/iam/security-credentials/${role?.name}`: {
        const found = credentials()
        return found && JSON.stringify(found, undefined, 2)
      }
      case '/latest/dynamic/instance-identity/document':
        return JSON.stringify({
          accountId: account.id,
          architecture: 'x86_64',
          availabilityZone: zone,
          instanceId,
          region,
          version: '2017-09-30',
        })
      default:
        return undefined
    }
  }

  const server = http.createServer((request, response) => {
    request.resume()
    const { method, url = '/' } = request
    const answer = (status: number, body = ''): void =>
      void response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
    // A forwarded request came through a proxy: the service refuses to be an open door to the instance's role.
    if (request.headers['x-forwarded-for'] !== undefined) return answer(403)
    if (url === '/latest/api/token') {
      if (method !== 'PUT') return answer(405)
      const seconds = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds'] ?? Number.NaN)
      if (!Number.isInteger(seconds) || seconds < 1 || seconds > 21_600) return answer(400)
      if (clientHops > hopLimit) return void request.socket.destroy()
      const token = randomBytes(42).toString('base64url')
      tokens.set(token, new Date(clock().getTime() + seconds * 1000))
      response.setHeader('x-aws-ec2-metadata-token-ttl-seconds', String(seconds))
      return answer(200, token)
    }
    const given = String(request.headers['x-aws-ec2-metadata-token'] ?? '')
    const valid = [...tokens].some(([token, expires]) => sameText(token, given) && expires > clock())
    if (!valid) return answer(401)
    const body = method === 'GET' ? metadata(url) : undefined
    return body === undefined ? answer(404) : answer(200, body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    endpoint: `http://127.0.0.1:${port}`,
    instanceId,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

const timestamp = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, 'Z')
