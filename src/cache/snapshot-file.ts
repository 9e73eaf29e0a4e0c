import { chmod, mkdir, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Log } from '#log.ts'

/** A live copy as it is kept on disk. */
export interface Snapshot {
  readonly kinds: readonly string[]
  /** Where a watch goes on from. */
  readonly revision: string
  readonly asOf: Date
  /** JSON of one resource each. */
  readonly documents: readonly string[]
}

/** Gives the kept copy, or undefined where there is none or where it cannot be used, which the log says. */
export async function readSnapshot(file: string, log: Log): Promise<Snapshot | undefined> {
  try {
    return parseSnapshot(await readFile(file, 'utf8'))
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!isMissing) log.warn('the kept copy of the cluster state cannot be used', { file, error })
    return undefined
  }
}

/** Replaces the kept copy: a reader finds the old one or the new one, also after a power cut. */
export async function writeSnapshot(file: string, snapshot: Snapshot): Promise<void> {
  const temporary = `${file}.new`
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  {
    await using handle = await open(temporary, 'w', 0o600)
    await handle.writeFile(JSON.stringify({ format: FORMAT, ...snapshot, asOf: snapshot.asOf.toISOString() }))
    await handle.sync()
  }
  await chmod(temporary, 0o600)
  await rename(temporary, file)
}

const FORMAT = 1

/** @throws {Error} if `text` is not a copy of this format */
function parseSnapshot(text: string): Snapshot {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null) throw new Error('not a copy of the cluster state')
  const { format, kinds, revision, asOf, documents } = value as Record<string, unknown> // each is checked below
  if (format !== FORMAT) throw new Error(`the copy has format ${String(format)}, not ${FORMAT}`)
  const instant = new Date(typeof asOf === 'string' ? asOf : Number.NaN)
  if (!isStrings(kinds) || !isStrings(documents) || typeof revision !== 'string' || Number.isNaN(instant.getTime())) {
    throw new Error('the copy of the cluster state is incomplete')
  }
  return { kinds, revision, asOf: instant, documents }
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((element) => typeof element === 'string')
