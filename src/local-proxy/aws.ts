/**
 * The AWS proxy on the workstation: an HTTPS proxy on loopback that stands in for AWS API hosts. A request that was signed
 * with the placeholder keys of an app login goes to the agents of that app; every other connection passes through.
 */
import { addAbortListener, once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { isSessionManagerHost, parseAwsHost } from '#aws/endpoint.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import { type ConnectTarget, serveConnect } from '#net/connect-proxy.ts'
import type { Egress } from '#net/egress.ts'
import { useOwnTimers } from '#net/forward-http.ts'
import { splice } from '#net/splice.ts'
import { type AppSlot, createAwsForwarder, type Notice } from './aws-forward.ts'
import { IssuedKeys } from './issued-keys.ts'
import { createLocalCa } from './local-ca.ts'
import { answerNotAnEndpoint } from './not-an-endpoint.ts'
import { type PlaceholderCredentials, placeholderCredentials } from './placeholder-credentials.ts'
import { type AppConnection, AppConnections } from './upstream.ts'

/** One app that the proxy serves. */
export interface LocalProxyApp {
  readonly name: string
  /** Key of the app login, PKCS #8 PEM: the placeholder keys and the local CA are derived from it. */
  readonly privateKeyPem: string
  /** Where the bundle of trusted authorities is written: `…/awsconsole-localca.pem`. */
  readonly caFile: string
  /** Keys that the user chose; left out: the derived ones. */
  readonly credentials?: PlaceholderCredentials
  /** Where the placeholders of assumed roles are kept; left out: for this process alone. */
  readonly assumedRolesFile?: string
  /** Connects to an agent of the app, with a certificate that is renewed when it has expired. */
  readonly dial: (signal: AbortSignal) => Promise<AppConnection>
}

export interface AwsLocalProxyOptions {
  /** At least one; the first one's key makes the local CA. */
  readonly apps: readonly [LocalProxyApp, ...LocalProxyApp[]]
  /** Left out or 0: any free one. */
  readonly port?: number
  /** For everything that is not ours: other hosts, message channels of Session Manager, foreign requests. */
  readonly egress: Egress
  readonly log: Log
  readonly clock: Clock
  /** Told what the agents say beside their answers, and why a request was refused. */
  readonly onNotice: (notice: Notice) => void
  /** Largest body that is read to its end before it goes on; 5 GiB unless given. S3 uploads never are. */
  readonly maxBodyBytes?: number
}

export interface AwsLocalProxy extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** What clients have to trust. */
  readonly caFile: string
  /** The keys to give to clients of this app. */
  credentialsOf(app: string): PlaceholderCredentials
}

/**
 * Opens the proxy and writes its CA file.
 *
 * @throws {ListenFailed} when the port is taken
 */
export async function startAwsLocalProxy(options: AwsLocalProxyOptions): Promise<AwsLocalProxy> {
  const { apps, port = 0, egress, log, clock, onNotice, maxBodyBytes = DEFAULT_MAX_BODY } = options
  await using stack = new AsyncDisposableStack()
  const closing = new AbortController()
  const [first] = apps
  const ca = createLocalCa({ loginKeyPem: first.privateKeyPem, clock })
  await ca.writeBundle(first.caFile, egress.authorities())

  const slots = apps.map((app): AppSlot => {
    const agent = stack.adopt(new AppConnections(() => app.dial(closing.signal)), (connections) =>
      connections.destroy(),
    )
    const { name, assumedRolesFile, credentials = placeholderCredentials(app.privateKeyPem) } = app
    return { name, credentials, agent, ...(assumedRolesFile === undefined ? {} : { assumedRolesFile }) }
  })
  const issued = stack.use(new IssuedKeys({ holders: slots, clock, log }))
  const forward = createAwsForwarder({
    slots,
    issued,
    egress,
    log,
    clock,
    onNotice,
    maxBodyBytes,
    signal: closing.signal,
  })
  const server = http.createServer({ noDelay: true }, forward)
  server.on('checkContinue', forward)
  useOwnTimers(server)

  const onDistrust = (host: string): void =>
    onNotice({
      kind: 'error',
      text: `a client does not trust the proxy's certificate for ${host}: have it read ${first.caFile}, as AWS_CA_BUNDLE, NODE_EXTRA_CA_CERTS or in the trust store of the program`,
    })
  const passThrough = new WeakMap<ConnectTarget, Socket>()
  const proxy = await serveConnect({
    host: '127.0.0.1',
    port,
    log,
    onRequest: answerNotAnEndpoint,
    async admit(target, _request, signal) {
      if (isIntercepted(target)) return undefined
      try {
        passThrough.set(target, await egress.dial(target.host, target.port, { signal }))
        return undefined
      } catch (error) {
        log.debug('cannot reach a host', { host: target.host, error })
        return { status: 503, body: `cannot connect to ${target.host}:${target.port}\n` }
      }
    },
    async onConnect(target, client, head, signal) {
      if (head.length > 0) client.unshift(head)
      const upstream = passThrough.get(target)
      if (upstream !== undefined) await splice(client, upstream, { signal })
      else await standIn({ server, client, host: target.host, signal, contextFor: ca.contextFor, onDistrust })
    },
  })
  stack.use(proxy)
  stack.defer(async () => {
    closing.abort()
    server.closeAllConnections()
  })
  const owned = stack.move()
  return {
    port: proxy.port,
    url: `http://127.0.0.1:${proxy.port}`,
    caFile: first.caFile,
    credentialsOf(name) {
      const slot = slots.find((each) => each.name === name)
      if (slot === undefined) throw new Error(`the local proxy does not serve ${name}`)
      return slot.credentials
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

const DEFAULT_MAX_BODY = 5 * 1024 ** 3
const HANDSHAKE_MS = 30_000

/** AWS API hosts on the HTTPS port, but not the message channels of Session Manager: their plug-in trusts no other CA. */
export function isIntercepted({ host, port }: ConnectTarget): boolean {
  return port === 443 && parseAwsHost(host) !== undefined && !isSessionManagerHost(host)
}

interface StandIn {
  readonly server: http.Server
  readonly client: Duplex
  readonly host: string
  readonly signal: AbortSignal
  readonly contextFor: (host: string) => tls.SecureContext
  readonly onDistrust: (host: string) => void
}

/** Ends the client's TLS with a certificate for the host that it asked for, and serves HTTP inside. */
async function standIn({ server, client, host, signal, contextFor, onDistrust }: StandIn): Promise<void> {
  const secured = new tls.TLSSocket(client, {
    isServer: true,
    secureContext: contextFor(host),
    SNICallback: (name, callback) => {
      const found = parseAwsHost(name)
      callback(null, contextFor(found === undefined ? host : found.host))
    },
    ALPNProtocols: ['http/1.1'],
  })
  secured.on('error', (error: NodeJS.ErrnoException) => {
    if (/ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|CERTIFICATE_UNKNOWN)/.test(error.code ?? '')) onDistrust(host)
  })
  using _ = addAbortListener(signal, () => secured.destroy())
  const closed = once(secured, 'close')
  const handshake = AbortSignal.any([signal, AbortSignal.timeout(HANDSHAKE_MS)])
  try {
    await Promise.race([once(secured, 'secure', { signal: handshake }), closed])
    if (!secured.destroyed) server.emit('connection', secured)
    await closed
  } finally {
    secured.destroy()
  }
}
