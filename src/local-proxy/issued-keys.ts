/**
 * Placeholder keys that agents handed out in answers of STS instead of real ones. Those of a stored login are kept in a
 * file of its own, because clients keep them too: the AWS CLI uses the same assumed role from one command to the next.
 */
import { readIfThere, withLock, writePrivateFile } from '#client/private-file.ts'
import type { Clock } from '#clock.ts'
import type { Log } from '#log.ts'
import { Secret } from '#secret.ts'

/** Whose keys they are. */
export interface KeyHolder {
  readonly name: string
  /** Where they are kept; left out: for this process alone. */
  readonly assumedRolesFile?: string
}

/** A key, and the app that it was handed out for. */
export interface IssuedKey<Holder> {
  readonly holder: Holder
  readonly secretAccessKey: Secret
}

/** Disposing waits until everything is written. */
export class IssuedKeys<Holder extends KeyHolder> implements AsyncDisposable {
  readonly #kept = new Map<string, IssuedKey<Holder>>()
  readonly #options: { readonly holders: readonly Holder[]; readonly clock: Clock; readonly log: Log }
  #writing: Promise<void> = Promise.resolve()

  constructor(options: { readonly holders: readonly Holder[]; readonly clock: Clock; readonly log: Log }) {
    this.#options = options
  }

  /** @param header `ACCESSKEYID:SECRET`, as agents send it */
  add(header: string, holder: Holder): void {
    const [, id, secret] = /^([A-Z0-9]{16,128}):([A-Za-z0-9/+_=-]{16,128})$/.exec(header) ?? []
    if (id === undefined || secret === undefined) return
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value ?? '')
    this.#kept.set(id, { holder, secretAccessKey: new Secret(secret) })
    const file = holder.assumedRolesFile
    if (file === undefined) return
    const { clock, log } = this.#options
    this.#writing = this.#writing
      .then(() => keep(file, `${id}:${secret}`, clock()))
      .catch((error: unknown) => log.warn('the keys of an assumed role are kept for this command alone', { error }))
  }

  /** Looks into the files for what another command has got since. */
  async find(accessKeyId: string): Promise<IssuedKey<Holder> | undefined> {
    const found = this.#kept.get(accessKeyId)
    if (found !== undefined || !isAssumedRoleId(accessKeyId)) return found
    const { holders, clock } = this.#options
    for (const holder of holders) {
      if (holder.assumedRolesFile === undefined) continue
      const rows = rowsOf((await readIfThere(holder.assumedRolesFile)) ?? '', clock())
      const row = rows.find(({ header }) => header.startsWith(`${accessKeyId}:`))
      if (row === undefined) continue
      const key = { holder, secretAccessKey: new Secret(row.header.slice(accessKeyId.length + 1)) }
      this.#kept.set(accessKeyId, key)
      return key
    }
    return undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing
  }
}

/** Is it a placeholder that an agent handed out for a role which somebody assumed? */
export function isAssumedRoleId(accessKeyId: string): boolean {
  return /^PLACEHOLDERROLE[A-Z2-7]{16}$/.test(accessKeyId)
}

const MAX_KEPT = 1000
/** No role lasts longer. @see AWS STS API Reference "AssumeRole", DurationSeconds */
const MAX_LIFE_MS = 12 * 3_600_000
const MAX_ROWS = 200

/** Each row is `ACCESSKEYID:SECRET` and when it came. */
async function keep(file: string, header: string, now: Date): Promise<void> {
  await withLock(`${file}.lock`, async () => {
    const rows = rowsOf((await readIfThere(file)) ?? '', now).slice(1 - MAX_ROWS)
    const text = [...rows, { header, at: now.toISOString() }].map((row) => `${row.header} ${row.at}\n`).join('')
    await writePrivateFile(file, text)
  })
}

function rowsOf(text: string, now: Date): readonly { readonly header: string; readonly at: string }[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .map(([header = '', at = '']) => ({ header, at }))
    .filter(({ at }) => now.getTime() - new Date(at).getTime() < MAX_LIFE_MS)
}
