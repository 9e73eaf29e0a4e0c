import { setTimeout as sleep } from 'node:timers/promises'
import type { MemberIdentity } from '#join/join.ts'
import type { Log } from '#log.ts'
import { product } from '#product.ts'
import type { AuthLink } from './auth-link.ts'
import type { ProxyConfig } from './config.ts'

const EVERY_MS = 60_000
const RETRY_MS = 5_000
const LEAVE_MS = 1_000

/** Tells the cluster where this proxy is, until disposed; then it says that it leaves. */
export function announce({
  link,
  member,
  config,
  port,
  log,
}: {
  readonly link: Pick<AuthLink, 'join'>
  readonly member: () => MemberIdentity
  readonly config: Pick<ProxyConfig, 'publicAddr' | 'listenHost' | 'nodeName'>
  readonly port: number
  readonly log: Log
}): AsyncDisposable {
  const stopping = new AbortController()
  const { signal } = stopping
  const { publicAddr, listenHost, nodeName } = config
  const beat = async (): Promise<void> => {
    const { hostId } = member()
    const spec = {
      version: product.version,
      hostname: nodeName,
      host_id: hostId,
      public_addr: `${publicAddr.host}:${publicAddr.port}`,
      listen_addr: `${listenHost}:${port}`,
    }
    const json = JSON.stringify({ kind: 'proxy', version: 'v2', metadata: { name: hostId }, spec })
    await link.join.heartbeat({ documents: [{ json }] }, { signal })
  }
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      let pause = EVERY_MS
      try {
        await beat()
      } catch (error) {
        pause = RETRY_MS
        if (!signal.aborted) log.warn('cannot announce this proxy to the cluster', { error })
      }
      await sleep(pause * (0.5 + Math.random() / 2), undefined, { signal, ref: false }).catch(() => {}) // aborted: the loop ends
    }
  }
  const running = run()
  return {
    async [Symbol.asyncDispose]() {
      stopping.abort()
      await running
      await link.join.heartbeat({ documents: [] }, { timeoutMs: LEAVE_MS }).catch(() => {}) // else it lapses by itself
    },
  }
}
