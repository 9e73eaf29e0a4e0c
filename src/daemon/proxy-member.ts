import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Auth } from '#auth/server.ts'
import type { Clock } from '#clock.ts'
import { openIdentityStore } from '#join/identity-store.ts'
import { joinCluster, type MemberIdentity } from '#join/join.ts'
import { renewIdentity } from '#join/renew.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { createRpcClient } from '#rpc/client.ts'
import { authServerName } from '#tls-routing/names.ts'
import type { Address } from './address.ts'
import type { DaemonConfig } from './config.ts'
import { dialTcp } from './dial-tcp.ts'

/** The identity of this process's proxy, kept current until it is disposed. */
export interface ProxyMember extends AsyncDisposable {
  member(): MemberIdentity
}

/** Auth gives the parts of its own process certificates of a day. */
const LOCAL_RENEWAL_MS = 12 * 3_600_000
const RETRY_MS = 60_000

/** The identity of a proxy beside the Auth Service: no token is needed. */
export async function localProxyMember(auth: Auth, log: Log): Promise<ProxyMember> {
  let current: MemberIdentity = await auth.localMember('Proxy')
  const ending = new AbortController()
  const renewing = (async () => {
    for (let pauseMs = LOCAL_RENEWAL_MS; await elapsed(pauseMs, ending.signal); ) {
      try {
        current = await auth.localMember('Proxy')
        pauseMs = LOCAL_RENEWAL_MS
      } catch (error) {
        log.warn('the identity of the proxy was not renewed; trying again', { error })
        pauseMs = RETRY_MS
      }
    }
  })()
  return {
    member: () => current,
    async [Symbol.asyncDispose]() {
      ending.abort()
      await renewing
    },
  }
}

export interface JoinedMemberOptions {
  readonly config: DaemonConfig
  readonly nodeName: string
  readonly authServer: string
  readonly authAddress: Address
  readonly egress: Egress
  readonly insecure: boolean
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** The identity of a proxy on a machine of its own, which joins with a token once. */
export async function joinedProxyMember(options: JoinedMemberOptions): Promise<ProxyMember> {
  const { config, log, clock, signal } = options
  await using stack = new AsyncDisposableStack()
  // An agent in the same process has a store of its own, and one process holds a store.
  const dataDir = config.app === undefined ? config.dataDir : join(config.dataDir, 'proxy')
  const store = stack.use(await openIdentityStore(dataDir))
  let current = await joinCluster({
    authServer: options.authServer,
    caPins: config.caPins,
    ...(config.join.tokenName === undefined ? {} : { token: config.join.tokenName }),
    method: config.join.method,
    role: 'Proxy',
    nodeName: options.nodeName,
    store,
    egress: options.egress,
    insecure: options.insecure,
    log,
    clock,
    signal,
  })
  const rpc = stack.use(
    createRpcClient({
      dial: (signal) => dialTcp(options.authAddress, signal),
      serverName: authServerName(current.clusterName),
      hostAuthorities: () => current.hostAuthorities,
      certificate: () => ({ cert: current.certificatePem, key: current.privateKeyPem }),
    }),
  )
  const ending = new AbortController()
  const onRenewed = (identity: MemberIdentity): void => {
    current = identity
    rpc.reconnect()
  }
  const renewing = renewIdentity({
    identity: current,
    role: 'Proxy',
    rpc: rpc.transport,
    store,
    onRenewed,
    log,
    clock,
    signal: ending.signal,
  })
  stack.defer(async () => {
    ending.abort()
    await renewing
  })
  const owned = stack.move()
  return { member: () => current, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() }
}

/** Whether the time passed before the signal. */
async function elapsed(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal, ref: false })
    return true
  } catch {
    return false
  }
}
