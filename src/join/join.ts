import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { createClient } from '@connectrpc/connect'
import type { Clock } from '#clock.ts'
import { AccessError, Conflict, InvalidInput } from '#errors.ts'
import { JoinService } from '#gen/access/v1/access_pb.ts'
import { type SystemRole, systemRoles } from '#identity/identity.ts'
import { attestToken } from '#join/token/attest.ts'
import type { Log } from '#log.ts'
import type { Egress } from '#net/egress.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { UntrustedCertificate, verifyChain } from '#pki/chain.ts'
import { generateKeyPair, publicKeyPem } from '#pki/key.ts'
import type { ClientCertificate } from '#rpc/client.ts'
import { readCaPins } from './ca-pin.ts'
import { type ClusterAddress, formatClusterAddress, openClusterRpc, parseClusterAddress } from './cluster-address.ts'
import { fetchHostAuthorities } from './host-authorities.ts'
import type { IdentityStore } from './identity-store.ts'
import { acceptMembership } from './membership.ts'
import type { Evidence } from './method.ts'

export interface JoinOptions {
  /** `host:port`; one of the two. */
  readonly proxyServer?: string
  readonly authServer?: string
  /** `ca_pin` as configured: pins, or paths of files with one. */
  readonly caPins: readonly string[]
  /** `join_params.token_name`: needed only where nothing is kept from an earlier start. */
  readonly token?: string
  /** `join_params.method`. */
  readonly method: string
  readonly role: SystemRole
  readonly nodeName: string
  readonly store: IdentityStore
  readonly egress: Egress
  /** Believes whoever answers where no pin is set. */
  readonly insecure?: boolean
  readonly log: Log
  readonly clock: Clock
  readonly signal?: AbortSignal
  /** How long an unreachable cluster is tried again; two minutes unless told otherwise. */
  readonly retryForMs?: number
}

/** What a machine has once it is a member of a cluster. */
export interface MemberIdentity {
  readonly hostId: string
  readonly clusterName: string
  /** Signed by the host authority, PEM. */
  readonly certificatePem: string
  /** PKCS #8, PEM: a secret. */
  readonly privateKeyPem: string
  /** Certificates of the host authority, PEM: who speaks for the cluster. */
  readonly hostAuthorities: readonly string[]
}

/** The directory holds an identity of another cluster than the one that answers. */
export class ForeignIdentity extends Conflict {}

/**
 * The machine's identity in the cluster: the kept one while it is good, else one that it gets by joining and then keeps.
 * A cluster that cannot be reached does not stop a machine that is a member already.
 *
 * @throws {ForeignIdentity} @throws {WrongCaPin} @throws {JoinRefused} as Auth words it, and others of the steps
 */
export async function joinCluster(options: JoinOptions): Promise<MemberIdentity> {
  const address = parseClusterAddress(options)
  const kept = await options.store.find(options.role)
  if (kept !== undefined) {
    const { notAfter } = parseCertificate(kept.certificatePem)
    if (notAfter > options.clock()) {
      await refuseForeign(kept, address, options)
      return kept
    }
    options.log.warn('the kept identity expired: joining again', { expired: notAfter.toISOString() })
  }
  const pins = await readCaPins(options.caPins, readText)
  return retrying(options, () => joinOnce(options, address, pins))
}

const DEFAULT_RETRY_MS = 120_000
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 15_000

const readText = (path: string): Promise<string> => readFile(path, 'utf8')

async function joinOnce(
  options: JoinOptions,
  address: ClusterAddress,
  pins: readonly string[],
): Promise<MemberIdentity> {
  const { role, nodeName, store, egress, log, clock, signal } = options
  const evidence = await attest(options)
  const { clusterName, certificates } = await fetchHostAuthorities({
    address,
    egress,
    pins,
    allowUntrustedServer: options.insecure ?? false,
    log,
    ...(signal ? { signal } : {}),
  })
  const keys = generateKeyPair()
  const certificate = await otherCertificate(options, { clusterName, roots: certificates })
  await using connection = openClusterRpc({
    address,
    egress,
    clusterName,
    hostAuthorities: certificates,
    ...(certificate && { certificate }),
  })
  const response = await createClient(JoinService, connection.transport).join(
    {
      ...evidence,
      role,
      hostId: store.hostId,
      nodeName,
      publicKeyPem: publicKeyPem(keys.publicKey),
    },
    signal ? { signal } : {},
  )
  const identity = acceptMembership(response, { keys, role, clusterName, now: clock() })
  await store.put(role, identity)
  log.info('joined the cluster', { cluster: clusterName, role, hostId: identity.hostId })
  return identity
}

/** That of another role of this machine: with it the machine keeps its one host id. */
async function otherCertificate(
  { store, role, clock }: JoinOptions,
  { clusterName, roots }: { readonly clusterName: string; readonly roots: readonly string[] },
): Promise<ClientCertificate | undefined> {
  for (const other of systemRoles) {
    const kept = other === role ? undefined : await store.find(other)
    if (kept === undefined || kept.hostId !== store.hostId || kept.clusterName !== clusterName) continue
    try {
      verifyChain({ chain: [kept.certificatePem], roots, at: clock(), purpose: 'client' })
      return { cert: kept.certificatePem, key: kept.privateKeyPem }
    } catch (error) {
      if (!(error instanceof UntrustedCertificate)) throw error
    }
  }
  return undefined
}

/** What this machine can show. @throws {InvalidInput} */
async function attest({ method, token = '' }: JoinOptions): Promise<Evidence> {
  if (token === '') {
    throw new InvalidInput('this machine is not a member of the cluster, and no join token is configured', {
      hint: 'create one with "tctl tokens add --type=app" and set it as teleport.join_params.token_name',
    })
  }
  if (method === 'token') return attestToken(token, readText)
  throw new InvalidInput(`join method ${JSON.stringify(method)} is not supported`, {
    hint: 'set teleport.join_params.method to "token"',
  })
}

/**
 * Compares with what answers now, where something does. Nothing that is fetched here is believed or kept:
 * it may stop a start, and whoever could forge it could do that anyway.
 */
async function refuseForeign(kept: MemberIdentity, address: ClusterAddress, options: JoinOptions): Promise<void> {
  const { egress, log, clock, store } = options
  const limit = AbortSignal.timeout(LOOK_MS)
  const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit])
  const quietly = { ...log, warn: log.debug.bind(log) }
  const present = await fetchHostAuthorities({
    address,
    egress,
    pins: [],
    allowUntrustedServer: true,
    log: quietly,
    signal,
  }).catch((error: unknown) => {
    log.warn('the cluster cannot be asked now; going on with the kept identity', { error })
    return undefined
  })
  options.signal?.throwIfAborted()
  if (present === undefined) return
  try {
    verifyChain({ chain: [kept.certificatePem], roots: present.certificates, at: clock(), purpose: 'client' })
  } catch (cause) {
    if (!(cause instanceof UntrustedCertificate)) throw cause
    const where = formatClusterAddress(address)
    const isRenamed = present.clusterName !== kept.clusterName
    throw new ForeignIdentity(
      isRenamed
        ? `${store.directory} holds an identity of cluster "${kept.clusterName}", and ${where} belongs to cluster "${present.clusterName}"`
        : `${store.directory} holds an identity that an earlier authority of cluster "${kept.clusterName}" signed`,
      {
        hint: `remove ${store.directory} and start again with a join token of this cluster, or correct the address`,
        cause,
      },
    )
  }
}

const LOOK_MS = 5_000

/** Again and again while the cluster cannot be reached, with growing pauses, and with an end. */
async function retrying(options: JoinOptions, attempt: () => Promise<MemberIdentity>): Promise<MemberIdentity> {
  const { log, clock, signal, retryForMs = DEFAULT_RETRY_MS } = options
  const deadline = clock().getTime() + retryForMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      const isPassing = error instanceof AccessError && error.code === 'unavailable'
      if (!isPassing || clock().getTime() + pauseMs > deadline) throw error
      log.warn('cannot join yet; trying again', { error, inMs: pauseMs })
      await wait(pauseMs * (0.5 + Math.random()), undefined, signal ? { signal } : {})
    }
  }
}
