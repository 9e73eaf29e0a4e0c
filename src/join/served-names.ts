import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createClient, type Transport } from '@connectrpc/connect'
import type { Clock } from '#clock.ts'
import { JoinService } from '#gen/access/v1/access_pb.ts'
import type { Log } from '#log.ts'
import { parseCertificate, splitPem } from '#pki/certificate.ts'
import { generateKeyPair, parsePrivateKey, privateKeyPem, publicKeyPem, spkiSha256 } from '#pki/key.ts'
import { fromConnectError } from '#rpc/status.ts'
import { WrongMembership } from './membership.ts'

/** What a member serves under a name of its own. */
type ServedNameKind = 'app' | 'kube' | 'tunnel' | 'web'

/** Certificate and key under which a name is served, PEM. */
interface ServedNameCertificate {
  readonly cert: string
  /** PKCS #8: a secret. */
  readonly key: string
  /** SNI under which it is reached. */
  readonly serverName: string
}

/** Keeps a short-lived certificate for every name that was asked for, and renews each in time. */
export interface ServedNames extends Disposable {
  /**
   * The certificate for a name. Asks Auth the first time, and again only where the kept one has expired.
   * @throws {AccessDenied} if this member may not serve the name
   */
  contextFor(kind: ServedNameKind, name: string): Promise<ServedNameCertificate>
  /** Stops renewing a name that is not served any more. */
  forget(kind: ServedNameKind, name: string): void
}

export interface ServedNamesOptions {
  /** RPC as this member. */
  readonly rpc: Transport
  readonly log: Log
  readonly clock: Clock
  /** Folder in which certificates and keys are kept, so that a member which restarts while Auth is away can serve. */
  readonly keepIn?: string | undefined
}

/** Opens the keeper. It renews a certificate once two thirds of its life are over, so that a short outage of Auth stops nobody. */
export function openServedNames(options: ServedNamesOptions): ServedNames {
  const names = new Map<string, ServedName>()
  return {
    contextFor(kind, name) {
      const key = `${kind}\0${name}`
      const served = names.get(key) ?? new ServedName(kind, name, options)
      names.set(key, served)
      return served.current()
    },
    forget(kind, name) {
      const key = `${kind}\0${name}`
      names.get(key)?.[Symbol.dispose]()
      names.delete(key)
    },
    [Symbol.dispose]() {
      for (const served of names.values()) served[Symbol.dispose]()
      names.clear()
    },
  }
}

const FIRST_RETRY_MS = 2_000

interface Issued extends ServedNameCertificate {
  readonly renewAt: Date
  readonly notAfter: Date
}

/** States: empty, issuing (a promise that is pending), issued with a timer for the renewal; disposing ends all. */
class ServedName implements Disposable {
  readonly #kind: ServedNameKind
  readonly #name: string
  readonly #options: ServedNamesOptions
  readonly #ending = new AbortController()
  #issued: Issued | undefined
  #issuing: Promise<Issued> | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0

  constructor(kind: ServedNameKind, name: string, options: ServedNamesOptions) {
    this.#kind = kind
    this.#name = name
    this.#options = options
  }

  async current(): Promise<ServedNameCertificate> {
    const now = this.#options.clock()
    const { cert, key, serverName } =
      this.#issued !== undefined && now < this.#issued.notAfter ? this.#issued : await this.#issue()
    // A clock that jumped, or a machine that slept: the timer alone would be late.
    if (this.#issued !== undefined && now >= this.#issued.renewAt) this.#renewSoon(0)
    return { cert, key, serverName }
  }

  [Symbol.dispose](): void {
    this.#ending.abort()
    clearTimeout(this.#timer)
  }

  /** One request at a time, however many connections ask. */
  #issue(): Promise<Issued> {
    this.#issuing ??= this.#requestOrKept()
      .then((issued) => {
        this.#issued = issued
        this.#failures = 0
        this.#renewSoon(issued.renewAt.getTime() - this.#options.clock().getTime())
        return issued
      })
      .finally(() => {
        this.#issuing = undefined
      })
    return this.#issuing
  }

  /** Auth decides whether this member may serve the name; what it gave before holds while it cannot be asked. */
  async #requestOrKept(): Promise<Issued> {
    try {
      const issued = await this.#request()
      await this.#keep(issued)
      return issued
    } catch (error) {
      if (fromConnectError(error).code !== 'unavailable') throw error
      const kept = await this.#findKept()
      if (kept === undefined) throw error
      this.#options.log.warn('Auth cannot be asked: a name is served with the certificate of an earlier start', {
        kind: this.#kind,
        name: this.#name,
        error,
      })
      return kept
    }
  }

  /** Names may hold anything; the file's holds their hash. */
  #file(): string | undefined {
    const { keepIn } = this.#options
    const hash = createHash('sha256').update(`${this.#kind}\0${this.#name}`).digest('hex')
    return keepIn === undefined ? undefined : join(keepIn, `${hash}.json`)
  }

  async #keep({ cert, key, serverName }: Issued): Promise<void> {
    const file = this.#file()
    const { keepIn, log } = this.#options
    if (file === undefined || keepIn === undefined) return
    try {
      await mkdir(keepIn, { recursive: true, mode: 0o700 })
      await writeFile(`${file}.new`, JSON.stringify({ cert, key, serverName }), { mode: 0o600 })
      await rename(`${file}.new`, file)
    } catch (error) {
      log.warn('cannot keep the certificate of a served name', { file, error })
    }
  }

  /** Undefined where there is none, where it has expired, or where the file is not what we wrote. */
  async #findKept(): Promise<Issued | undefined> {
    const file = this.#file()
    if (file === undefined) return undefined
    try {
      const { cert, key, serverName } = JSON.parse(await readFile(file, 'utf8'))
      const [leaf] = splitPem(cert)
      const issued = issuedOf({ cert, key, serverName }, parseCertificate(leaf ?? ''))
      parsePrivateKey(key)
      return this.#options.clock() < issued.notAfter ? issued : undefined
    } catch {
      return undefined // the caller reports why it looked for it
    }
  }

  async #request(): Promise<Issued> {
    const keys = generateKeyPair()
    const { certificatePem, serverName } = await createClient(JoinService, this.#options.rpc).issueServedName(
      { kind: this.#kind, name: this.#name, publicKeyPem: publicKeyPem(keys.publicKey) },
      { signal: this.#ending.signal },
    )
    const certificate = parseCertificate(certificatePem)
    const { publicKey, dnsNames } = certificate
    if (!spkiSha256(publicKey).equals(spkiSha256(keys.publicKey))) throw new WrongMembership('for another key')
    if (!dnsNames.includes(serverName)) throw new WrongMembership(`that is not for ${serverName}`)
    return issuedOf({ cert: certificatePem, key: privateKeyPem(keys.privateKey), serverName }, certificate)
  }

  #renewSoon(delayMs: number): void {
    clearTimeout(this.#timer)
    if (this.#ending.signal.aborted) return
    this.#timer = setTimeout(() => void this.#renew(), Math.min(Math.max(0, delayMs), MAX_TIMER_MS)).unref()
  }

  async #renew(): Promise<void> {
    try {
      await this.#issue()
    } catch (error) {
      if (this.#ending.signal.aborted) return
      this.#options.log.warn('the certificate of a served name was not renewed; trying again', {
        kind: this.#kind,
        name: this.#name,
        error,
      })
      this.#renewSoon(FIRST_RETRY_MS * 2 ** Math.min(5, this.#failures++) * (0.5 + Math.random()))
    }
  }
}

function issuedOf(
  served: ServedNameCertificate,
  { notBefore, notAfter }: { readonly notBefore: Date; readonly notAfter: Date },
): Issued {
  const lifeMs = notAfter.getTime() - notBefore.getTime()
  const renewAt = new Date(notBefore.getTime() + lifeMs * (2 / 3 - Math.random() / 20))
  return { ...served, renewAt, notAfter }
}

/** Timers hold no more than 2^31 - 1 ms. */
const MAX_TIMER_MS = 2_000_000_000
