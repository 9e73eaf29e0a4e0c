import { once } from 'node:events'
import http from 'node:http'
import { isIP } from 'node:net'
import tls from 'node:tls'
import { createClient } from '@connectrpc/connect'
import { AccessError, InvalidInput, Unauthenticated, Unavailable } from '#errors.ts'
import { ClusterService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { oids, parseCertificate, splitPem } from '#pki/certificate.ts'
import { createRpcClient } from '#rpc/client.ts'
import { alpn, authServerName } from '#tls-routing/names.ts'
import { checkCaPins } from './ca-pin.ts'
import { type ClusterAddress, formatClusterAddress } from './cluster-address.ts'

/** Who speaks for a cluster. */
export interface HostAuthorities {
  readonly clusterName: string
  /** PEM. */
  readonly certificates: readonly string[]
}

export interface FetchHostAuthorities {
  readonly address: ClusterAddress
  readonly egress: Egress
  /** Every certificate that is presented must match one of these. Empty: the proxy's own certificate must be trusted here. */
  readonly pins: readonly string[]
  /** Believes whoever answers. Only for a first try, or to look at what a server presents. */
  readonly allowUntrustedServer?: boolean
  readonly log: Log
  readonly signal?: AbortSignal
}

/** What answered is no proxy or Auth Service of ours. */
export class NotACluster extends InvalidInput {}

/**
 * Fetches the host authorities of a cluster and verifies them: by pins; without pins by the certificate under which the
 * proxy shows itself to everyone.
 *
 * @throws {WrongCaPin} @throws {Unauthenticated} @throws {NotACluster} @throws {Unavailable}
 */
export async function fetchHostAuthorities(options: FetchHostAuthorities): Promise<HostAuthorities> {
  const { address, pins, allowUntrustedServer = false, log } = options
  const limit = AbortSignal.timeout(FETCH_MS)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  const isVerifiedByTls = pins.length === 0 && !allowUntrustedServer
  if (address.kind === 'auth' && isVerifiedByTls) {
    throw new InvalidInput('joining through auth_server needs a ca_pin', {
      hint: 'set teleport.ca_pin to the "CA pin" that "tctl status" prints, or join through proxy_server',
    })
  }
  const where = formatClusterAddress(address)
  if (pins.length === 0 && allowUntrustedServer) log.warn(`not verifying that ${where} is the cluster’s`)
  const pem =
    address.kind === 'proxy'
      ? await exportFromProxy({ ...options, signal, isVerifiedByTls })
      : await exportFromAuth(options)
  const certificates = splitPem(pem)
  if (pins.length > 0) checkCaPins(certificates, pins, where)
  return { certificates, clusterName: clusterNameOf(certificates, where) }
}

const FETCH_MS = 20_000
const MAX_ANSWER_BYTES = 256 * 1024
const PATHS = ['/webapi/auth/export?type=tls-host', '/v1/webapi/auth/export?type=tls-host']

type ProxyFetch = FetchHostAuthorities & { readonly signal: AbortSignal; readonly isVerifiedByTls: boolean }

async function exportFromProxy(options: ProxyFetch): Promise<string> {
  const where = formatClusterAddress(options.address)
  for (const path of PATHS) {
    const { status, body } = await getFromProxy(path, options)
    if (status === 200) return body
    if (status >= 500 || status === 429) {
      throw new Unavailable(`${where} answered ${status}`, { hint: 'wait until the proxy and the Auth Service are up' })
    }
  }
  throw new NotACluster(`${where} is not a proxy of a cluster`, {
    hint: 'check teleport.proxy_server: it is the public address of the Proxy Service',
  })
}

async function getFromProxy(path: string, options: ProxyFetch): Promise<{ status: number; body: string }> {
  const { address, egress, signal, isVerifiedByTls } = options
  const raw = await egress.dial(address.host, address.port, { signal })
  const socket = tls.connect({
    socket: raw,
    ...(isIP(address.host) === 0 ? { servername: address.host } : {}),
    host: address.host, // also what the certificate is checked against where there is no server name
    ca: egress.authorities(),
    ALPNProtocols: [alpn.web[0]],
    rejectUnauthorized: isVerifiedByTls,
  })
  try {
    await once(socket, 'secureConnect', { signal })
    const request = http.get({
      createConnection: () => socket,
      path,
      headers: { host: formatClusterAddress(address), connection: 'close' },
      signal,
    })
    const [response] = (await once(request, 'response', { signal })) as [http.IncomingMessage] // as node:http documents
    return { status: response.statusCode ?? 0, body: await readAll(response) }
  } catch (cause) {
    if (cause instanceof AccessError) throw cause
    throw failureOf(cause, options)
  } finally {
    socket.destroy()
    raw.destroy()
  }
}

async function readAll(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    // without an encoding a message gives buffers
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) {
      throw new NotACluster('the answer of the proxy is too long', { hint: 'check teleport.proxy_server' })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function failureOf(cause: unknown, { address, signal }: ProxyFetch): AccessError {
  const where = formatClusterAddress(address)
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (/CERT|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code)) {
    return new Unauthenticated(`the certificate of ${where} is not trusted on this machine`, {
      hint: 'set teleport.ca_pin to the "CA pin" that "tctl status" prints, or name the authority of that certificate in SSL_CERT_FILE',
      cause,
    })
  }
  return new Unavailable(signal.aborted ? `${where} did not answer in time` : `${where} does not answer as a proxy`, {
    hint: 'check teleport.proxy_server, and that the proxy is up',
    cause,
  })
}

async function exportFromAuth({ address, egress }: FetchHostAuthorities): Promise<string> {
  await using connection = createRpcClient({
    dial: (signal) => egress.dial(address.host, address.port, { signal }),
    serverName: authServerName('cluster'), // its name is not known yet, and Auth routes by none
    hostAuthorities: [],
    allowUnverifiedServer: true, // the pins decide
  })
  const { pem } = await createClient(ClusterService, connection.transport).exportAuthorities({ type: 'tls-host' })
  return pem
}

/** The authorities bear the name of their cluster. */
function clusterNameOf(certificates: readonly string[], where: string): string {
  const names = certificates.map((pem) => {
    const { isCa, subject } = parseCertificate(pem)
    return isCa ? subject.find(([oid]) => oid === oids.CN)?.[1] : undefined
  })
  const [name] = names
  if (name === undefined || name === '' || names.some((other) => other !== name)) {
    throw new NotACluster(`what ${where} presents are not the host authorities of one cluster`, {
      hint: 'check teleport.proxy_server, and that nothing in between answers in its place',
    })
  }
  return name
}
