/**
 * The sign-in endpoint of the AWS console: temporary keys for a token, the token for a page.
 *
 * @see IAM User Guide, "Enable custom identity broker access to the AWS console"
 */
import { randomBytes } from 'node:crypto'
import type { RequestListener } from 'node:http'
import type { Clock } from '#clock.ts'
import type { EgressRoute } from '#lab/egress.ts'
import { type AccessKeys, sameText } from './credentials.ts'
import { parseForm } from './percent.ts'
import type { SessionPrincipal } from './principal.ts'

/** A console session that was opened. */
export interface ConsoleSession {
  /** ARN of the session: the role and who assumed it. */
  readonly principal: string
  readonly seconds: number
  readonly destination: string
  readonly issuer: string | undefined
}

const hosts = new Set(['signin.aws.amazon.com', 'signin.amazonaws-us-gov.com', 'signin.amazonaws.cn'])
const consoleHost = /^(?:[a-z0-9-]+\.)?console\.(?:aws\.amazon\.com|amazonaws-us-gov\.com|amazonaws\.cn)$/
const tokenLifeMs = 15 * 60_000

/** What the sign-in endpoint needs. */
export interface ConsoleSettings {
  readonly keys: AccessKeys
  readonly clock: Clock
  readonly sessions: ConsoleSession[]
}

/** Answers for the sign-in hosts of the three partitions, and shows a page on the console hosts. */
export function consoleRoute({ keys, clock, sessions }: ConsoleSettings): EgressRoute {
  const tokens = new Map<string, { principal: SessionPrincipal; seconds: number; expires: number }>()

  /** @returns a status and a body; every refusal is a 400 with a sentence, as the endpoint has it */
  const signinToken = (query: ReadonlyMap<string, string>): readonly [number, string] => {
    const session = parseSession(query.get('Session') ?? '')
    const key = session && keys.find(session.sessionId)
    if (!session || !key || key.principal.kind !== 'session') return [400, 'The Session parameter is not valid.']
    const matches =
      sameText(key.secretAccessKey.reveal(), session.sessionKey) &&
      sameText(key.sessionToken?.reveal() ?? '', session.sessionToken)
    if (!matches || !key.expiration || key.expiration <= clock()) return [400, 'The Session parameter is not valid.']
    const left = Math.floor((key.expiration.getTime() - clock().getTime()) / 1000)
    const asked = query.get('SessionDuration')
    const seconds = asked === undefined ? left : Number(asked)
    if (asked !== undefined && !(Number.isInteger(seconds) && seconds >= 900 && seconds <= 43_200)) {
      return [400, 'SessionDuration must be between 900 and 43200 seconds.']
    }
    // Sessions from role chaining live as long as their keys and no longer.
    if (asked !== undefined && key.principal.chained) {
      return [400, 'SessionDuration may not be given for credentials from role chaining.']
    }
    const token = randomBytes(48).toString('base64url')
    tokens.set(token, { principal: key.principal, seconds, expires: clock().getTime() + tokenLifeMs })
    return [200, JSON.stringify({ SigninToken: token })]
  }

  const serve: RequestListener = (request, response) => {
    request.resume()
    const [path = '/', text = ''] = (request.url ?? '/').split('?')
    const plain = (status: number, body: string): void =>
      void response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
    if (consoleHost.test((request.headers.host ?? '').replace(/:\d+$/, ''))) {
      return void response
        .writeHead(200, { 'content-type': 'text/html' })
        .end('<title>AWS Management Console (lab)</title>')
    }
    if (path !== '/federation') return plain(404, 'there is only /federation here')
    const query = parseForm(text)
    const action = query.get('Action')
    if (action === 'getSigninToken') {
      const [status, body] = signinToken(query)
      return void response
        .writeHead(status, { 'content-type': status === 200 ? 'application/json' : 'text/plain' })
        .end(body)
    }
    if (action !== 'login') return plain(400, 'Action must be getSigninToken or login.')
    const found = tokens.get(query.get('SigninToken') ?? '')
    const destination = query.get('Destination') ?? ''
    if (!found || found.expires < clock().getTime()) return plain(400, 'The SigninToken is not valid.')
    if (!/^https:\/\/[^/]+/.test(destination)) return plain(400, 'Destination must be an https URL of the console.')
    sessions.push({ principal: found.principal.arn, seconds: found.seconds, destination, issuer: query.get('Issuer') })
    response.writeHead(302, { location: destination, 'set-cookie': 'aws-userInfo=lab; Secure; HttpOnly' }).end()
  }
  return { name: 'aws-console', answers: (host) => hosts.has(host) || consoleHost.test(host), serve }
}

interface Session {
  readonly sessionId: string
  readonly sessionKey: string
  readonly sessionToken: string
}

function parseSession(text: string): Session | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { sessionId, sessionKey, sessionToken }: Partial<Record<keyof Session, unknown>> = value
    const isWhole = typeof sessionId === 'string' && typeof sessionKey === 'string' && typeof sessionToken === 'string'
    return isWhole ? { sessionId, sessionKey, sessionToken } : undefined
  } catch {
    return undefined
  }
}
