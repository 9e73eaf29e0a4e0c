import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { InvalidInput } from '#errors.ts'
import type { SystemRole } from '#identity/identity.ts'
import type { MemberIdentity } from './join.ts'
import { isLockLeftover, lockDirectory } from './process-lock.ts'

/**
 * Where a machine keeps who it is: `DATA_DIR/proc`, for its owner alone, one file for each role that it joined with.
 * A crash or a power cut leaves the old identity or the new one, never half of one.
 */
export interface IdentityStore extends AsyncDisposable {
  /** For messages. */
  readonly directory: string
  /** The machine's own id, a UUID made at the first start. */
  readonly hostId: string
  /** @throws {IdentityUnreadable} */
  find(role: SystemRole): Promise<MemberIdentity | undefined>
  /** Durable when it resolves. */
  put(role: SystemRole, identity: MemberIdentity): Promise<void>
}

/** A file of the store is there and makes no sense. */
export class IdentityUnreadable extends InvalidInput {
  constructor(path: string, cause: unknown) {
    super(`the stored identity ${path} cannot be read`, {
      hint: 'remove that file and start again with a join token',
      cause,
    })
  }
}

/** The data directory cannot be made, or is not ours to write. */
export class UnusableDataDirectory extends InvalidInput {
  constructor(directory: string, cause: unknown) {
    const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : ''
    super(`the directory ${directory} cannot be used${code}`, {
      hint: 'set teleport.data_dir to a directory on a local disk that belongs to the user of this process',
      cause,
    })
  }
}

/**
 * Opens the store, and takes it for this process.
 * @throws {DirectoryInUse} if another process has it
 * @throws {UnusableDataDirectory}
 */
export async function openIdentityStore(dataDir: string): Promise<IdentityStore> {
  const directory = join(dataDir, 'proc')
  await makePrivate(directory)
  await using stack = new AsyncDisposableStack()
  stack.use(await lockDirectory(directory))
  await removeHalfWritten(directory)
  const hostId = await readOrMakeHostId(directory)
  const owned = stack.move()
  const fileOf = (role: SystemRole): string => join(directory, `${role.toLowerCase()}.json`)
  return {
    directory,
    hostId,
    async find(role) {
      const text = await readIfThere(fileOf(role))
      return text === undefined ? undefined : parseIdentity(text, fileOf(role))
    },
    put: (role, identity) => writeDurably(directory, fileOf(role), JSON.stringify(encodeIdentity(identity), null, 2)),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

const TEMPORARY = '.tmp'

async function makePrivate(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chmod(directory, 0o700) // it may have been there, with other rights
  } catch (cause) {
    throw new UnusableDataDirectory(directory, cause)
  }
}

const storedIdentity = z.strictObject({
  version: z.literal(1),
  host_id: z.uuid(),
  cluster_name: z.string().min(1),
  certificate: z.string().min(1),
  private_key: z.string().min(1),
  host_authorities: z.array(z.string().min(1)).min(1),
})

function encodeIdentity(identity: MemberIdentity): z.input<typeof storedIdentity> {
  return {
    version: 1,
    host_id: identity.hostId,
    cluster_name: identity.clusterName,
    certificate: identity.certificatePem,
    private_key: identity.privateKeyPem,
    host_authorities: [...identity.hostAuthorities],
  }
}

function parseIdentity(text: string, path: string): MemberIdentity {
  const json = parseJson(text, path)
  const { success, data, error } = storedIdentity.safeParse(json)
  if (!success) throw new IdentityUnreadable(path, new Error(z.prettifyError(error)))
  return {
    hostId: data.host_id,
    clusterName: data.cluster_name,
    certificatePem: data.certificate,
    privateKeyPem: data.private_key,
    hostAuthorities: data.host_authorities,
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new IdentityUnreadable(path, undefined) // without the cause, which quotes the text: it holds a key
  }
}

async function readOrMakeHostId(directory: string): Promise<string> {
  const path = join(directory, 'host-id')
  const text = await readIfThere(path)
  if (text === undefined) {
    const hostId = randomUUID()
    await writeDurably(directory, path, `${hostId}\n`)
    return hostId
  }
  const { success, data, error } = z.uuid().safeParse(text.trim())
  if (!success) throw new IdentityUnreadable(path, error)
  return data
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** A new file takes the name of the old one when all of it is on disk; then the directory is. */
async function writeDurably(directory: string, path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}${TEMPORARY}`
  try {
    {
      await using file = await open(temporary, 'wx', 0o600)
      await file.writeFile(text)
      await file.sync()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  await using handle = await open(directory, 'r')
  await handle.sync()
}

/** What a process that was killed has left; nobody else writes here. */
async function removeHalfWritten(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.endsWith(TEMPORARY) || isLockLeftover(name)) await rm(join(directory, name), { force: true })
  }
}
