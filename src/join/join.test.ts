/** A machine becomes a member over real TLS, past a proxy that routes by SNI, and stays one. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { type ConnectRouter, createClient } from '@connectrpc/connect'
import { type Authorities, openAuthorities } from '#ca/authorities.ts'
import { issueHostCertificate, issueServedNameCertificate } from '#ca/issue-host.ts'
import { type Clock, systemClock } from '#clock.ts'
import { AccessDenied, AccessError } from '#errors.ts'
import { ClusterService, JoinService } from '#gen/access/v1/access_pb.ts'
import { verifyToken } from '#join/token/verify.ts'
import { type Log, silentLog } from '#log.ts'
import { createEgress } from '#net/egress.ts'
import { listen } from '#net/listen.ts'
import { splice } from '#net/splice.ts'
import { generateKeyPair, parsePublicKey, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import { parseJoinToken } from '#resources/join-token.ts'
import { callerOf } from '#rpc/caller.ts'
import { startRpcServer } from '#rpc/server.ts'
import { openResourceStore, type ResourceStore } from '#storage/resource-store.ts'
import { openSqliteBackend } from '#storage/sqlite.ts'
import { authServerName } from '#tls-routing/names.ts'
import { routeConnection } from '#tls-routing/router.ts'
import { WrongCaPin } from './ca-pin.ts'
import { openClusterRpc, parseClusterAddress } from './cluster-address.ts'
import { type IdentityStore, openIdentityStore } from './identity-store.ts'
import { ForeignIdentity, type JoinOptions, joinCluster } from './join.ts'

const DAY_MS = 86_400_000
const HOST_ID = '4f7d7a2e-4a51-4a0a-9f4b-0a6f3d9f7f11'

interface Cluster extends AsyncDisposable {
  readonly name: string
  readonly authorities: Authorities
  readonly authPort: number
  readonly proxyPort: number
}

/** The two halves of a cluster that joining needs: Auth's join service, and a proxy that serves its authorities. */
async function startCluster(name: string, clock: Clock = systemClock): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const directory = await mkdtemp(join(tmpdir(), 'join-cluster-'))
  stack.defer(() => rm(directory, { recursive: true }))
  const path = join(directory, 'state.sqlite')
  const store = openResourceStore({
    backend: stack.use(await openSqliteBackend({ path, clock: systemClock, log: silentLog })),
  })
  const authorities = await openAuthorities({ store, clusterName: name, clock })
  await store.create(token('good-token', ['App']))
  const auth = stack.use(
    await startRpcServer({
      host: '127.0.0.1',
      port: 0,
      log: silentLog,
      clock,
      certificate: authCertificate(name, authorities, clock),
      clientAuthorities: () => ({ user: authorities.certificates('user'), host: authorities.certificates('host') }),
      router: joinService({ name, store, authorities, clock }),
    }),
  )
  const proxyPort = await startProxy(stack, authorities, name, auth.port)
  const owned = stack.move()
  return { name, authorities, authPort: auth.port, proxyPort, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function token(name: string, roles: readonly string[]) {
  return parseJoinToken({ kind: 'token', version: 'v2', metadata: { name }, spec: { roles, join_method: 'token' } })
}

function authCertificate(name: string, authorities: Authorities, clock: Clock) {
  const keys = generateKeyPair()
  const identity = { kind: 'host', hostId: HOST_ID, nodeName: 'auth', cluster: name, roles: ['Auth'] } as const
  const expires = new Date(clock().getTime() + DAY_MS)
  const { pem } = issueHostCertificate(authorities.signer('host'), { ...identity, expires }, keys.publicKey, clock())
  return () => ({ cert: pem, key: privateKeyPem(keys.privateKey) })
}

function joinService(deps: {
  readonly name: string
  readonly store: ResourceStore
  readonly authorities: Authorities
  readonly clock: Clock
}) {
  const { name, store, authorities, clock } = deps
  const issue = (hostId: string, roles: readonly ['App'], publicKeyPem: string) => {
    const now = clock()
    const identity = { kind: 'host', hostId, nodeName: 'agent-1', roles, cluster: name } as const
    const expires = new Date(now.getTime() + 30 * DAY_MS)
    const key = parsePublicKey(publicKeyPem)
    return {
      certificatePem: issueHostCertificate(authorities.signer('host'), { ...identity, expires }, key, now).pem,
      hostId,
      clusterName: name,
      hostAuthoritiesPem: authorities.export('tls-host').pem,
    }
  }
  return (router: ConnectRouter): void => {
    router.service(ClusterService, {
      exportAuthorities: ({ type }) => {
        const { pem } = authorities.export(type)
        return { pem }
      },
    })
    router.service(JoinService, {
      async join(request) {
        const findToken = (tokenName: string) => store.find<ReturnType<typeof token>>('token', tokenName)
        await verifyToken(request, { findToken, now: clock() })
        return issue(request.hostId, ['App'], request.publicKeyPem)
      },
      renew(request, context) {
        const caller = callerOf(context)
        if (caller.kind !== 'member') throw new AccessDenied('only members renew', { hint: 'join first' })
        return issue(caller.identity.hostId, ['App'], request.publicKeyPem)
      },
    })
  }
}

/** Web by a certificate that nobody trusts, RPC passed on unopened: as the Proxy Service. */
async function startProxy(
  stack: AsyncDisposableStack,
  authorities: Authorities,
  name: string,
  authPort: number,
): Promise<number> {
  const keys = generateKeyPair()
  const { pem } = issueServedNameCertificate(authorities.signer('host'), {
    serverName: 'localhost',
    publicKey: keys.publicKey,
    now: new Date(),
    ttlMs: DAY_MS,
  })
  const secureContext = tls.createSecureContext({ cert: pem, key: privateKeyPem(keys.privateKey) })
  const web = http.createServer((request, response) => {
    if (request.url !== '/webapi/auth/export?type=tls-host') response.writeHead(404).end()
    else response.end(authorities.export('tls-host').pem)
  })
  const proxy = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, (socket, signal) =>
    routeConnection(socket, {
      timeoutMs: 5_000,
      signal,
      route: ({ serverName }) =>
        serverName === authServerName(name)
          ? async (client) => void (await splice(client, net.connect(authPort, '127.0.0.1'), { signal }))
          : async (client) => {
              const secure = new tls.TLSSocket(client, { isServer: true, secureContext })
              secure.on('error', () => {})
              web.emit('connection', secure)
              await once(secure, 'close', { signal }).catch(() => {})
            },
    }),
  )
  stack.use(proxy)
  return proxy.port
}

suite('a machine', () => {
  let cluster: Cluster
  let store: IdentityStore
  let directory: string
  const egress = createEgress({})
  const warnings: string[] = []
  const log: Log = { ...silentLog, warn: (message) => void warnings.push(message) }
  const options = (change: Partial<JoinOptions> = {}): JoinOptions => ({
    proxyServer: `localhost:${cluster.proxyPort}`,
    caPins: cluster.authorities.pins(),
    token: 'good-token',
    method: 'token',
    role: 'App',
    nodeName: 'agent-1',
    store,
    egress,
    log,
    clock: systemClock,
    retryForMs: 0,
    ...change,
  })
  /** A store that is empty, and gone when the test ends. */
  const emptyStore = async (stack: AsyncDisposableStack): Promise<IdentityStore> => {
    const dataDir = await mkdtemp(join(tmpdir(), 'join-'))
    stack.defer(() => rm(dataDir, { recursive: true }))
    return stack.use(await openIdentityStore(dataDir))
  }

  before(async () => {
    cluster = await startCluster('one.example.com')
    directory = await mkdtemp(join(tmpdir(), 'join-'))
    store = await openIdentityStore(directory)
  })
  after(async () => {
    await store[Symbol.asyncDispose]()
    egress[Symbol.dispose]()
    await cluster[Symbol.asyncDispose]()
    await rm(directory, { recursive: true })
  })

  test('joins through the proxy, knowing the cluster by its pin', async () => {
    const identity = await joinCluster(options())
    assert.equal(identity.clusterName, 'one.example.com')
    assert.equal(identity.hostId, store.hostId)
    assert.deepEqual(identity.hostAuthorities, cluster.authorities.certificates('host'))
  })

  test('is a member at its next start without a token, and even while nothing answers', async () => {
    const { token: _, ...withoutToken } = options()
    const kept = await joinCluster(withoutToken)
    assert.deepEqual(await joinCluster({ ...withoutToken, proxyServer: 'localhost:1' }), kept)
    assert.ok(warnings.includes('the cluster cannot be asked now; going on with the kept identity'))
  })

  test('joins directly at Auth, with a token and a pin from files', async () => {
    await using stack = new AsyncDisposableStack()
    const [tokenFile, pinFile] = [join(directory, 'token'), join(directory, 'pin')]
    await writeFile(tokenFile, 'good-token\n')
    await writeFile(pinFile, `${cluster.authorities.pins()[0]}\n`)
    const { proxyServer: _, ...rest } = options({ store: await emptyStore(stack), token: tokenFile, caPins: [pinFile] })
    const identity = await joinCluster({ ...rest, authServer: `127.0.0.1:${cluster.authPort}` })
    assert.equal(identity.clusterName, 'one.example.com')
  })

  test('joins without a pin where the proxy’s certificate is trusted', async () => {
    await using stack = new AsyncDisposableStack()
    using trusting = createEgress({ extraCa: cluster.authorities.export('tls-host').pem })
    const identity = await joinCluster(options({ store: await emptyStore(stack), caPins: [''], egress: trusting }))
    assert.equal(identity.clusterName, 'one.example.com')
  })

  test('waits for a cluster that is not up yet', async () => {
    await using stack = new AsyncDisposableStack()
    const late = await listen({ host: '127.0.0.1', port: 0, log: silentLog }, async (socket) => void socket.destroy())
    stack.use(late)
    const stop = new AbortController()
    const impatient: Log = { ...silentLog, warn: () => stop.abort(new Error('tried again')) }
    const waiting = joinCluster(
      options({
        store: await emptyStore(stack),
        proxyServer: `localhost:${late.port}`,
        log: impatient,
        signal: stop.signal,
        retryForMs: 60_000,
      }),
    )
    await assert.rejects(waiting)
    assert.match(String(stop.signal.reason), /tried again/)
  })

  const pin = `sha256:${'0'.repeat(64)}`
  for (const { says, change, error, text } of [
    { says: 'a cluster with another pin', change: { caPins: [pin] }, error: WrongCaPin, text: /^wrong CA pin: .*0000/ },
    { says: 'a proxy that it has no reason to trust', change: { caPins: [] }, error: AccessError, text: /not trusted/ },
    {
      says: 'to start without a token',
      change: { token: '' },
      error: AccessError,
      text: /no join token is configured/,
    },
    {
      says: 'a token that does not exist',
      change: { token: 'guess' },
      error: AccessError,
      text: /^the join was refused$/,
    },
    {
      says: 'a role that the token does not give',
      change: { role: 'Proxy' },
      error: AccessError,
      text: /^the join was refused$/,
    },
    {
      says: 'a join method that it does not know',
      change: { method: 'iam' },
      error: AccessError,
      text: /"iam" is not supported/,
    },
    {
      says: 'a cluster that does not answer',
      change: { proxyServer: 'localhost:1' },
      error: AccessError,
      text: /cannot connect/,
    },
  ] as const) {
    test(`refuses, or is refused: ${says}`, async () => {
      await using stack = new AsyncDisposableStack()
      const fresh = await emptyStore(stack)
      await assert.rejects(joinCluster(options({ store: fresh, ...change })), (thrown) => {
        assert.ok(thrown instanceof error, String(thrown))
        assert.match(thrown.message, text)
        assert.ok(thrown.hint.length > 10)
        return true
      })
      assert.equal(await fresh.find('App'), undefined)
    })
  }

  test('does not start with the identity of another cluster, and says which directory to remove', async () => {
    await using other = await startCluster('two.example.com')
    await assert.rejects(
      joinCluster(options({ proxyServer: `localhost:${other.proxyPort}` })),
      (error) =>
        error instanceof ForeignIdentity &&
        /"one.example.com".*"two.example.com"/.test(error.message) &&
        error.hint.includes(directory),
    )
    await using renamed = await startCluster('one.example.com')
    await assert.rejects(
      joinCluster(options({ proxyServer: `localhost:${renamed.proxyPort}` })),
      /an earlier authority/,
    )
  })

  test('joins again where its identity expired', async () => {
    await using stack = new AsyncDisposableStack()
    const fresh = await emptyStore(stack)
    await joinCluster(options({ store: fresh }))
    const later = (): Date => new Date(Date.now() + 40 * DAY_MS)
    await using future = await startCluster('one.example.com', later)
    const joining = options({ store: fresh, clock: later, caPins: future.authorities.pins() })
    // The certificate of Auth is of the future too, and TLS goes by the real clock: only the attempt is seen.
    await assert.rejects(joinCluster({ ...joining, proxyServer: `localhost:${future.proxyPort}` }))
    assert.ok(warnings.includes('the kept identity expired: joining again'))
  })

  test('is known to Auth by its identity, past a proxy that does not see it', async () => {
    const identity = await joinCluster(options())
    await using connection = openClusterRpc({
      address: parseClusterAddress({ proxyServer: `localhost:${cluster.proxyPort}` }),
      egress,
      clusterName: cluster.name,
      hostAuthorities: identity.hostAuthorities,
      certificate: { cert: identity.certificatePem, key: identity.privateKeyPem },
    })
    const renewed = await createClient(JoinService, connection.transport).renew({
      publicKeyPem: publicKeyPem(generateKeyPair().publicKey),
    })
    assert.equal(renewed.hostId, store.hostId)
  })
})

suite('the address of a cluster', () => {
  for (const [text, host, port] of [
    ['example.com:443', 'example.com', 443],
    ['example.com', 'example.com', 3080],
    ['https://example.com:443/', 'example.com', 443],
    ['[::1]:3080', '::1', 3080],
  ] as const) {
    test(`may be ${text}`, () => {
      assert.deepEqual(parseClusterAddress({ proxyServer: text }), { kind: 'proxy', host, port })
    })
  }

  test('of Auth has its own port', () => {
    assert.deepEqual(parseClusterAddress({ authServer: 'auth' }), { kind: 'auth', host: 'auth', port: 3025 })
  })

  for (const [says, given, text] of [
    ['two', { proxyServer: 'a', authServer: 'b' }, /only one of auth_server or proxy_server should be set/],
    ['none', {}, /neither/],
    ['a port that is none', { proxyServer: 'a:99999' }, /proxy_server "a:99999" is not an address/],
    ['a path', { proxyServer: 'a/b' }, /is not an address/],
    ['a bare IPv6 address', { proxyServer: '::1' }, /is not an address/],
  ] as const) {
    test(`may not be ${says}`, () => assert.throws(() => parseClusterAddress(given), text))
  }
})
