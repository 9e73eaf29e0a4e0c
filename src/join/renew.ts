import { setTimeout as wait } from 'node:timers/promises'
import { createClient, type Transport } from '@connectrpc/connect'
import type { Clock } from '#clock.ts'
import { JoinService } from '#gen/access/v1/access_pb.ts'
import type { SystemRole } from '#identity/identity.ts'
import type { Log } from '#log.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, publicKeyPem } from '#pki/key.ts'
import type { IdentityStore } from './identity-store.ts'
import type { MemberIdentity } from './join.ts'
import { acceptMembership } from './membership.ts'

export interface RenewOptions {
  readonly identity: MemberIdentity
  readonly role: SystemRole
  /** RPC as this member. */
  readonly rpc: Transport
  readonly store: IdentityStore
  /** Takes each new identity, after it is kept. */
  readonly onRenewed: (identity: MemberIdentity) => void
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Waits; a test passes its own. */
  readonly wait?: (ms: number, signal: AbortSignal) => Promise<void>
}

/**
 * Renews the identity, with a new key each time, once two thirds of its life are over; runs until the signal aborts.
 * What fails is tried again, more and more rarely, until the certificate ends and after it: Auth may come back.
 */
export async function renewIdentity(options: RenewOptions): Promise<void> {
  const { signal, clock, log, wait: waitFor = waitUnlessAborted } = options
  let { identity } = options
  let failures = 0
  while (!signal.aborted) {
    const delayMs = failures === 0 ? renewalDelayMs(identity, clock()) : retryDelayMs(failures)
    // Timers hold 24.8 days at most, and a machine that slept wakes up late: look again at least daily.
    await waitFor(Math.min(delayMs, DAY_MS), signal)
    if (signal.aborted) return
    if (delayMs > DAY_MS) continue
    try {
      identity = await renewOnce(identity, options)
      failures = 0
      options.onRenewed(identity)
    } catch (error) {
      failures++
      if (!signal.aborted) log.warn('the identity of this machine was not renewed; trying again', { error })
    }
  }
}

/** Milliseconds until two thirds of the certificate's life are over, up to a twelfth of it later at random. */
export function renewalDelayMs({ certificatePem }: MemberIdentity, now: Date, random = Math.random): number {
  const { notBefore, notAfter } = parseCertificate(certificatePem)
  const lifeMs = notAfter.getTime() - notBefore.getTime()
  const due = notBefore.getTime() + lifeMs * (2 / 3 + random() / 12)
  return Math.max(0, Math.round(due - now.getTime()))
}

const DAY_MS = 86_400_000
const FIRST_RETRY_MS = 10_000
const LONGEST_RETRY_MS = 3_600_000

function retryDelayMs(failures: number): number {
  return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1)) * (0.5 + Math.random())
}

async function renewOnce(
  identity: MemberIdentity,
  { rpc, role, store, clock, log, signal }: RenewOptions,
): Promise<MemberIdentity> {
  const keys = generateKeyPair()
  const response = await createClient(JoinService, rpc).renew(
    { publicKeyPem: publicKeyPem(keys.publicKey) },
    { signal },
  )
  const renewed = acceptMembership(response, { keys, role, clusterName: identity.clusterName, now: clock() })
  await store.put(role, renewed)
  log.info('renewed the identity of this machine', { role, hostId: renewed.hostId })
  return renewed
}

async function waitUnlessAborted(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
}
