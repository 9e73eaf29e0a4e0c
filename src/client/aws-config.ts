/** The AWS config file of this user, as far as profiles of ours stand in it. */
import { randomBytes } from 'node:crypto'
import { lstat, mkdir, open, readFile, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Unavailable } from '#errors.ts'
import {
  ForeignAwsSection,
  hasCredentialsSection,
  type ManagedProfile,
  type RemovedProfiles,
  removeAwsProfiles,
  setAwsProfiles,
} from './aws-config-text.ts'
import { isNoSuchFile, withLock } from './private-file.ts'

/** Where AWS clients read their profiles. */
export interface AwsConfigFiles {
  /** `~/.aws/config`: the one that we write. */
  readonly config: string
  /** `~/.aws/credentials`: only read. */
  readonly credentials: string
}

/** @see AWS SDKs and Tools Reference Guide "Finding and changing the location of the shared config and credentials files" */
export function awsConfigFiles(env: Readonly<Record<string, string | undefined>>, userHome: string): AwsConfigFiles {
  const at = (variable: string, name: string): string => {
    const path = env[variable]
    if (path === undefined || path === '') return join(userHome, '.aws', name)
    return resolve(path.replace(/^~(?=[/\\]|$)/, () => userHome))
  }
  return { config: at('AWS_CONFIG_FILE', 'config'), credentials: at('AWS_SHARED_CREDENTIALS_FILE', 'credentials') }
}

/**
 * Writes profiles, those of other apps stay.
 *
 * @throws {ForeignAwsSection} when one of the names is taken; nothing is written then
 * @throws {Unavailable} when the file cannot be written
 */
export async function writeAwsProfiles(files: AwsConfigFiles, profiles: readonly ManagedProfile[]): Promise<void> {
  const credentials = (await readBytes(files.credentials)) ?? ''
  const taken = profiles.find(({ name }) => hasCredentialsSection(credentials, asBytes(name)))
  if (taken !== undefined) {
    throw new ForeignAwsSection(
      `${files.credentials}: section ${JSON.stringify(taken.name)} is not managed by teleport, remove the section and try again`,
      { hint: 'its keys would win over those of the profile: rename it if you need it' },
    )
  }
  const written = profiles.map(({ name, app, settings }) => ({
    name: asBytes(name),
    app: asBytes(app),
    settings: settings.map(([key, value]) => [key, asBytes(value)] as const),
  }))
  await editFile(files.config, (text) => setAwsProfiles(text, written, files.config))
}

/** Removes the profiles of an app, or all of ours. A file that is not there is fine. */
export async function dropAwsProfiles(
  { config }: Pick<AwsConfigFiles, 'config'>,
  app?: string,
): Promise<Pick<RemovedProfiles, 'removed' | 'kept'>> {
  const wanted = app === undefined ? undefined : asBytes(app)
  let found = removeAwsProfiles((await readBytes(config)) ?? '', wanted)
  if (found.removed.length > 0) {
    await editFile(config, (text) => {
      found = removeAwsProfiles(text, wanted)
      return found.text
    })
  }
  return { removed: found.removed, kept: found.kept }
}

/** One at a time, also among processes; a reader, or a crash, never meets half of it. Mode and symbolic links stay. */
async function editFile(path: string, edit: (text: string) => string): Promise<void> {
  await named(`write ${path}`, async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o755 })
    const target = await followLinks(path)
    await withLock(`${target}.tsh-lock`, async () => {
      const before = await readBytes(target)
      const after = edit(before ?? '')
      if (after !== before) await replaceFile(target, Buffer.from(after, 'latin1'))
    })
  })
}

/** Names the file in what the system says about it. */
async function named<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof Error && 'syscall' in cause && 'code' in cause)) throw cause
    throw new Unavailable(`cannot ${what}: ${String(cause.code)}`, {
      hint: 'make it and its directory yours, or set AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE to other files',
      cause,
    })
  }
}

async function replaceFile(path: string, content: Buffer): Promise<void> {
  const mode = await stat(path).then(
    (found) => found.mode & 0o7777,
    () => 0o600,
  )
  const temporary = `${path}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await using file = await open(temporary, 'wx', 0o600)
    await file.writeFile(content)
    await file.chmod(mode)
    await file.sync()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** The file behind symbolic links, one that is not there yet too. */
async function followLinks(path: string, depth = 0): Promise<string> {
  const isLink = await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  )
  if (!isLink || depth === MAX_LINKS) return join(await realpath(dirname(path)), path.slice(dirname(path).length))
  return followLinks(resolve(dirname(path), await readlink(path)), depth + 1)
}

const MAX_LINKS = 40

/** One character for each byte: what is no UTF-8 stays as it is. */
async function readBytes(path: string): Promise<string | undefined> {
  return named(`read ${path}`, () =>
    readFile(path, 'latin1').catch((error: unknown) => {
      if (isNoSuchFile(error)) return undefined
      throw error
    }),
  )
}

const asBytes = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
