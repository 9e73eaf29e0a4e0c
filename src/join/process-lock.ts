import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { link, open, rename, rm } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { AccessError } from '#errors.ts'

/** Another process works in the directory. */
export class DirectoryInUse extends AccessError {
  override readonly code = 'unavailable'

  constructor(directory: string) {
    super(`${directory} is in use by another process`, {
      hint: 'stop the other process, or give this one a data directory of its own',
    })
  }
}

/**
 * Takes a directory for this process until it is disposed or the process ends, in whatever way.
 * The lock is a listening socket under the name `lock`: the kernel closes it with its process, so a lock that nobody
 * answers is a leftover, also between containers that share the directory and know nothing of each other's process ids.
 *
 * @throws {DirectoryInUse}
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const handle = stack.use(await open(directory, 'r'))
  const at = (name: string): string => socketPath(directory, name, handle.fd)
  const lock = join(directory, 'lock')

  const own = uniqueName('new')
  const server = net.createServer((socket) => socket.destroy())
  server.unref()
  server.listen(at(own))
  await once(server, 'listening')
  stack.defer(() => new Promise<void>((closed) => server.close(() => closed())))
  stack.defer(() => rm(join(directory, own), { force: true }))

  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    // A link appears under its name at once and only where there is none: of two that try, one wins.
    if (await succeeds(link(join(directory, own), lock), 'EEXIST')) {
      await rm(join(directory, own))
      stack.defer(() => rm(lock, { force: true }))
      return stack.move()
    }
    if (await answers(at('lock'))) throw new DirectoryInUse(directory)
    await removeLeftover(directory, at)
  }
  throw new DirectoryInUse(directory)
}

const MAX_ATTEMPTS = 10
/** Of the 104 to 108 bytes that `sun_path` has, with room for the longest of our names. */
const MAX_SOCKET_PATH = 80

const uniqueName = (purpose: string): string => `lock.${purpose}.${randomBytes(4).toString('hex')}`

/** A long path is shortened by way of the open directory, which Linux shows under a short name. */
function socketPath(directory: string, name: string, fd: number): string {
  const path = join(directory, name)
  return Buffer.byteLength(path) <= MAX_SOCKET_PATH ? path : `/proc/self/fd/${fd}/${name}`
}

/** Moves the lock away before it looks again: another process may have put a live one there in between. */
async function removeLeftover(directory: string, at: (name: string) => string): Promise<void> {
  const moved = uniqueName('old')
  const movedPath = join(directory, moved)
  if (!(await succeeds(rename(join(directory, 'lock'), movedPath), 'ENOENT'))) return
  if (await answers(at(moved))) await succeeds(link(movedPath, join(directory, 'lock')), 'EEXIST')
  await rm(movedPath, { force: true })
}

/** Whether a process listens on the socket. */
async function answers(path: string): Promise<boolean> {
  const socket = net.connect(path)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** `false` for the one failure that is expected. */
async function succeeds(work: Promise<unknown>, expected: 'EEXIST' | 'ENOENT'): Promise<boolean> {
  try {
    await work
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === expected) return false
    throw error
  }
}
