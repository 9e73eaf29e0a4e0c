import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { InvalidInput, Unavailable } from '#errors.ts'

/**
 * Writes a file that only its owner can read (0600, in directories of 0700) so that a reader, or a crash,
 * never meets half of it: a new file beside it takes its name.
 */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  await makePrivateDirectory(dirname(path))
  const temporary = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(content)
    await file.sync()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** The text of a file, or `undefined` where there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isNoSuchFile(error)) return undefined
    throw error
  }
}

/** Makes `path` and its parents, each for its owner alone. */
async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
}

/**
 * Runs `work` while no other process runs one under the same lock file. A lock whose process is gone is taken over.
 *
 * @throws {Unavailable} when the lock stays taken for `timeoutMs`
 */
export async function withLock<T>(path: string, work: () => Promise<T>, timeoutMs = 10_000): Promise<T> {
  await makePrivateDirectory(dirname(path))
  const deadline = performance.now() + timeoutMs
  while (!(await takeLock(path))) {
    if (performance.now() > deadline) {
      throw new Unavailable(`${path} is held by another process`, {
        hint: 'let the other command finish, or remove that file when none is running',
      })
    }
    await wait(5 + Math.random() * 20)
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

/**
 * `name` as one component of a path.
 *
 * @throws {InvalidInput} for a name that would lead elsewhere: `..`, `a/b`
 */
export function pathComponent(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL ends a path early
  if (name === '' || name === '.' || name === '..' || /[/\\\u0000]/.test(name) || name.length > 200) {
    throw new InvalidInput(`${JSON.stringify(name.slice(0, 64))} cannot be part of a file name`, {
      hint: 'use a name without slashes',
    })
  }
  return name
}

/**
 * `name` as one component of a path, whatever it is: `weird%2Fname` for `weird/name`. No two names have the same.
 *
 * @throws {InvalidInput} for an empty name, or one too long for a file
 */
export function encodedPathComponent(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be in it
  const encoded = name.replace(/[%/\\\u0000-\u001f]|^\.{1,2}$/g, (part) =>
    [...part].map((one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
  return pathComponent(encoded)
}

/** Where the lock of a profile directory stands. */
export function lockFile(home: string): string {
  return join(home, '.lock')
}

/** Whether an error says that there is no such file. */
export function isNoSuchFile(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT' // an Error of Node has it
}

async function takeLock(path: string): Promise<boolean> {
  try {
    await using file = await open(path, 'wx', 0o600)
    await file.writeFile(String(process.pid))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // an Error of Node has it
    if (await isAbandoned(path)) await rm(path, { force: true })
    return false
  }
}

/** A lock is abandoned when its process is gone, or when it has been empty for seconds (its process died between two calls). */
async function isAbandoned(path: string): Promise<boolean> {
  try {
    const [holder, { mtimeMs }] = [await readFile(path, 'utf8'), await stat(path)]
    if (holder === '') return Date.now() - mtimeMs > 5_000
    process.kill(Number(holder), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH' // EPERM: it runs, under another user
  }
}
