import { createContextKey, type HandlerContext } from '@connectrpc/connect'
import { type AccessError, Unauthenticated } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import type { HostIdentity, UserIdentity } from '#identity/identity.ts'
import { type ParsedCertificate, parseCertificate } from '#pki/certificate.ts'
import { verifyChain } from '#pki/chain.ts'

/** Who calls, as their verified certificate says. `address` is the peer's IP address, without a port. */
export type Caller =
  | { readonly kind: 'anonymous'; readonly address: string }
  | { readonly kind: 'member'; readonly identity: HostIdentity; readonly address: string }
  | { readonly kind: 'user'; readonly identity: UserIdentity; readonly address: string }

/** Certificates, PEM, of the authorities that may have signed a caller's certificate. */
export interface ClientAuthorities {
  readonly user: readonly string[]
  readonly host: readonly string[]
}

/** Where the server leaves the caller, or the reason why there is none, for the handlers of a call. */
export const callerKey = createContextKey<Caller | AccessError | undefined>(undefined, { description: 'caller' })

/** The caller of this call. A certificate that was shown and does not hold is an error, never an anonymous caller. */
export function callerOf(context: Pick<HandlerContext, 'values'>): Caller {
  const caller = context.values.get(callerKey)
  if (caller === undefined) throw new Error('the call did not come through the RPC server')
  if (caller instanceof Error) throw caller
  return caller
}

/** What a peer has shown. */
export interface Peer {
  /** PEM; left out when the peer showed none. */
  readonly certificatePem?: string
  readonly address: string
}

/**
 * Turns what the peer of a connection has shown into a caller.
 * The chain is checked against the authorities as they are now: no root store and no earlier session plays a part.
 * @throws {Unauthenticated}
 * @see RFC 5280 §6.1 path validation
 */
function identifyPeer({ certificatePem, address }: Peer, authorities: ClientAuthorities, now: Date): Caller {
  if (certificatePem === undefined) return { kind: 'anonymous', address }
  const kind = issuerKind(certificatePem, authorities, now)
  try {
    const identity = decodeIdentity(parseCertificate(certificatePem), kind)
    return identity.kind === 'user' ? { kind: 'user', identity, address } : { kind: 'member', identity, address }
  } catch (cause) {
    throw new Unauthenticated('the client certificate names no identity', { hint: 'log in or join again', cause })
  }
}

/** Which of our authorities signed it. */
function issuerKind(certificatePem: string, authorities: ClientAuthorities, now: Date): 'user' | 'host' {
  let leaf: ParsedCertificate
  try {
    leaf = parseCertificate(certificatePem)
  } catch (cause) {
    throw new Unauthenticated('the client certificate cannot be read', { hint: 'log in or join again', cause })
  }
  if (leaf.notAfter <= now) {
    throw new Unauthenticated(`the client certificate expired at ${leaf.notAfter.toISOString()}`, {
      hint: 'log in again with "tsh login"; an agent joins again with a new token',
    })
  }
  const reasons: unknown[] = []
  for (const kind of ['user', 'host'] as const) {
    try {
      verifyChain({ chain: [certificatePem], roots: [...authorities[kind]], at: now, purpose: 'client' })
      return kind
    } catch (error) {
      reasons.push(error)
    }
  }
  throw new Unauthenticated('the client certificate was not issued by this cluster', {
    hint: 'log in or join again',
    cause: new AggregateError(reasons),
  })
}

/**
 * Identifies the peer of one connection, call by call: expiry and a change of the authorities count at once,
 * while the signature is checked only when the authorities changed.
 */
export function createPeerIdentifier(
  peer: Peer,
  authorities: () => ClientAuthorities,
  clock: () => Date,
): () => Caller | AccessError {
  let known: { readonly caller: Caller; readonly key: string } | undefined
  return () => {
    const present = authorities()
    const key = [...present.user, '', ...present.host].join('\n')
    const now = clock()
    if (known?.key === key && (known.caller.kind === 'anonymous' || known.caller.identity.expires > now)) {
      return known.caller
    }
    try {
      known = { caller: identifyPeer(peer, present, now), key }
      return known.caller
    } catch (error) {
      if (error instanceof Unauthenticated) return error
      throw error
    }
  }
}
