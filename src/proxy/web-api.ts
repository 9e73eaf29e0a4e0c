import { timestampDate } from '@bufbuild/protobuf/wkt'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { InvalidInput, NotFound } from '#errors.ts'
import { splitPem } from '#pki/certificate.ts'
import type { AuthLink } from './auth-link.ts'
import { invitePage } from './invite-page.ts'
import { type Endpoints, findAnswer, messageOfTheDay, pingAnswer } from './ping.ts'

export interface WebApiParts {
  readonly link: Pick<AuthLink, 'cluster' | 'login'>
  readonly endpoints: Endpoints
  /** Whether the web certificate is one that only the cluster vouches for. */
  readonly isSelfSigned: boolean
}

const normal = { config: { limit: 'normal' } } as const
const high = { config: { limit: 'high' } } as const

/** Adds the routes of the web API. Paths and fields are those that clients of the reference know. */
export function addWebApi(app: FastifyInstance, parts: WebApiParts): void {
  addPublicFacts(app, parts)
  addLogin(app, parts)
  addUserTokens(app, parts)
  addPages(app, parts)
}

const connectors = ['local', 'passwordless', 'headless']

function addPublicFacts(app: FastifyInstance, { link, endpoints }: WebApiParts): void {
  const loginSettings = async (): Promise<Record<string, unknown>> => {
    const { authPreferenceJson } = await link.cluster.ping({})
    return jsonObject.parse(JSON.parse(authPreferenceJson || '{}'))
  }
  app.get('/webapi/find', async () => findAnswer(endpoints))
  app.get('/webapi/ping', async () => pingAnswer(endpoints, await loginSettings()))
  app.get<{ Params: { connector: string } }>('/webapi/ping/:connector', high, async ({ params: { connector } }) => {
    if (!connectors.includes(connector)) {
      throw new InvalidInput(
        `invalid connector name: ${connector.slice(0, 100)}; valid options: ${connectors.join(', ')}`,
        { hint: 'give one of them with --auth' },
      )
    }
    return pingAnswer(endpoints, await loginSettings(), connector)
  })
  app.get('/webapi/motd', high, async () => ({ Text: messageOfTheDay(await loginSettings()) }))
  app.get<{ Querystring: { type?: string } }>('/webapi/auth/export', high, async ({ query }, reply) => {
    const type = parse(z.string().max(64).default(''), query.type, 'type')
    const { pem, der } = await link.cluster.exportAuthorities({ type, withKeys: false })
    reply.header('content-disposition', 'attachment; filename="authorized_hosts"')
    return der.length > 0 && pem === ''
      ? reply.type('application/octet-stream').send(Buffer.from(der))
      : reply.type('text/plain; charset=utf-8').send(pem)
  })
}

const text = (max: number): z.ZodString => z.string().min(1).max(max)
const beginLogin = z.object({ user: text(256), pass: text(1024) })
const finishLogin = z.object({
  user: text(256),
  password: text(1024),
  totp_code: z.string().max(16).optional(),
  tls_pub_key: text(8192),
  ttl: z.number().int().nonnegative().max(10_000_000).optional(),
})

function addLogin(app: FastifyInstance, { link }: WebApiParts): void {
  app.post('/webapi/mfa/login/begin', normal, async (request) => {
    const { user, pass } = parse(beginLogin, request.body, 'body')
    const { totp } = await link.login.beginLogin({ user, password: pass, clientAddress: request.ip })
    return totp ? { totp_challenge: true } : {}
  })
  app.post('/webapi/mfa/login/finish', normal, async (request, reply) => {
    const { user, password, totp_code = '', tls_pub_key, ttl = 0 } = parse(finishLogin, request.body, 'body')
    const answer = await link.login.finishLogin({
      user,
      password,
      totpCode: totp_code,
      publicKeyPem: tls_pub_key,
      ttlSeconds: BigInt(ttl),
      clientAddress: request.ip,
    })
    forbidCache(reply)
    return {
      username: answer.user,
      tls_cert: answer.certificatePem,
      cluster_name: answer.clusterName,
      host_signers: splitPem(answer.hostAuthoritiesPem),
    }
  })
}

const redeem = z.object({
  token: text(256),
  password: text(1024),
  totp_code: z.string().max(16).optional(),
  device_name: z.string().max(128).optional(),
})

function addUserTokens(app: FastifyInstance, { link }: WebApiParts): void {
  app.get<{ Params: { token: string } }>('/webapi/users/password/token/:token', normal, async (request, reply) => {
    const token = await link.login.getUserToken({ token: parse(text(256), request.params.token, 'token') })
    forbidCache(reply)
    return {
      user: token.user,
      purpose: token.purpose,
      ...(token.expires === undefined ? {} : { expires: timestampDate(token.expires).toISOString() }),
      totp_required: token.totpRequired,
      ...(token.totpSecret === '' ? {} : { totp_secret: token.totpSecret, totp_uri: token.totpUri }),
    }
  })
  app.put('/webapi/users/password/token', normal, async (request) => {
    const { token, password, totp_code = '', device_name = '' } = parse(redeem, request.body, 'body')
    const { user } = await link.login.redeemUserToken({
      token,
      password,
      totpCode: totp_code,
      deviceName: device_name,
      clientAddress: request.ip,
    })
    return { user }
  })
}

function addPages(app: FastifyInstance, { endpoints, isSelfSigned }: WebApiParts): void {
  const page = async (
    request: FastifyRequest<{ Params: { kind: string; token: string } }>,
    reply: FastifyReply,
  ): Promise<string> => {
    const { kind, token } = request.params
    // Whether the token exists stays unsaid: the page is the same for all that could be one.
    if ((kind !== 'invite' && kind !== 'reset') || !/^[A-Za-z0-9_-]{1,256}$/.test(token)) {
      throw new NotFound('this page does not exist', { hint: 'check the address' })
    }
    forbidCache(reply)
    reply.type('text/html; charset=utf-8')
    return invitePage({ kind, token, address: endpoints.publicAddr, isSelfSigned })
  }
  app.get('/', async (_request, reply) => reply.redirect('/web', 302))
  app.get('/robots.txt', async (_request, reply) => reply.type('text/plain').send('User-agent: *\nDisallow: /\n'))
  app.get('/web', high, async (_request, reply) => {
    reply.type('text/html; charset=utf-8')
    return invitePage({ kind: 'start', address: endpoints.publicAddr, isSelfSigned })
  })
  app.get('/web/:kind/:token', normal, page)
}

const jsonObject = z.record(z.string(), z.unknown())

/** What the request says, or a 400 that names the field. */
function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const path = issue?.path.join('.') || what
  throw new InvalidInput(`${path}: ${issue?.message ?? 'not understood'}`, { hint: 'correct the request' })
}

function forbidCache(reply: FastifyReply): void {
  reply.headers({ 'cache-control': 'no-cache, no-store, must-revalidate', pragma: 'no-cache', expires: '0' })
}
