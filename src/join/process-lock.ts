import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, readdir, rename, rm } from 'node:fs/promises'
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
 *
 * Each process that wants it listens on a socket `lock-RANDOM` in it. The kernel closes a socket with its process, so one
 * that refuses connections is a leftover, also between containers that know nothing of each other's process ids.
 *
 * - candidate: its socket is there; it looks at all others. One with a smaller name that lives, or that holds the
 *   directory, leads to refused. For one with a greater name, which may not have seen this one, it waits until that one
 *   holds or is refused. When nobody is left, this leads to holding.
 * - holding: tells `held` to whoever connects.
 * - refused: its socket is gone.
 *
 * @throws {DirectoryInUse}
 */
export async function lockDirectory(directory: string): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const handle = stack.use(await open(directory, 'r'))
  const at = (name: string): string => socketPath(directory, name, handle.fd)
  const candidate = stack.use(await becomeCandidate(directory, at))
  for (const name of await readdir(directory)) {
    if (!name.startsWith(PREFIX) || name === candidate.name) continue
    const answer = await ask(at(name), name > candidate.name)
    if (answer === 'held' || (answer === 'alive' && name < candidate.name)) throw new DirectoryInUse(directory)
    if (answer === 'dead') await rm(join(directory, name), { force: true })
  }
  candidate.hold()
  return stack.move()
}

/** Whether a file of the directory is one of ours that came to nothing; only its holder may remove it. */
export function isLockLeftover(name: string): boolean {
  return name.startsWith(UNFINISHED_PREFIX)
}

const PREFIX = 'lock-'
const UNFINISHED_PREFIX = '.lock-'
const HELD = 'held'
/** A process that is stopped accepts and does not answer: it still has the directory. */
const ANSWER_MS = 5_000
/** Of the 104 to 108 bytes that `sun_path` has, with room for the longest of our names. */
const MAX_SOCKET_PATH = 100

/** A long path is shortened by way of the open directory, which Linux shows under a short name. */
function socketPath(directory: string, name: string, fd: number): string {
  const path = join(directory, name)
  return Buffer.byteLength(path) <= MAX_SOCKET_PATH ? path : `/proc/self/fd/${fd}/${name}`
}

interface Candidate extends AsyncDisposable {
  readonly name: string
  hold(): void
}

async function becomeCandidate(directory: string, at: (name: string) => string): Promise<Candidate> {
  const random = randomBytes(8).toString('hex')
  const [name, unfinished] = [PREFIX + random, UNFINISHED_PREFIX + random]
  let isHolding = false
  const asking = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.on('close', () => asking.delete(socket))
    asking.add(socket)
    if (isHolding) socket.end(HELD)
  })
  server.unref()
  server.listen(at(unfinished))
  await once(server, 'listening')
  // Under its name it listens from the start: whoever finds it silent may remove it.
  await rename(join(directory, unfinished), join(directory, name)).catch((error: unknown) => {
    server.close()
    // Only who holds the directory removes unfinished sockets.
    throw isCode(error, 'ENOENT') ? new DirectoryInUse(directory) : error
  })
  return {
    name,
    hold() {
      isHolding = true
      for (const socket of asking) socket.end(HELD)
    },
    async [Symbol.asyncDispose]() {
      await rm(join(directory, name), { force: true })
      for (const socket of asking) socket.destroy()
      await new Promise<void>((closed) => server.close(() => closed()))
    },
  }
}

/** `gone` gave up while it was asked. Whatever is not surely dead counts as alive. */
async function ask(path: string, mayWait: boolean): Promise<'dead' | 'alive' | 'held' | 'gone'> {
  const socket = net.connect(path)
  try {
    await once(socket, 'connect')
    if (!mayWait) return 'alive'
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('no answer')))
    for await (const chunk of socket) return String(chunk) === HELD ? 'held' : 'alive'
    return 'gone'
  } catch (error) {
    if (isCode(error, 'ECONNREFUSED')) return 'dead'
    return isCode(error, 'ENOENT') || isCode(error, 'ECONNRESET') ? 'gone' : 'held'
  } finally {
    socket.destroy()
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
