import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInput, NotFound } from '#errors.ts'
import { lockFile, pathComponent, readIfThere, withLock, writePrivateFile } from './private-file.ts'
import { formatProxyAddress, type ProxyAddress, parseProxyAddress } from './proxy-address.ts'

/** Who is logged in where: one file `<proxy host>.yaml` in the profile directory. Keys and certificates lie in the key store. */
export interface Profile {
  /** Host part of the proxy's address, which is also the file's name: `access.example.com`. */
  readonly name: string
  readonly proxy: ProxyAddress
  readonly user: string
  readonly cluster: string
  readonly authConnector: string
  /** Whether the cluster had Kubernetes switched on when the user logged in. */
  readonly isKubeEnabled: boolean
  /** `sha256:` and the hash of the key of the authority that vouches for the proxy's web certificate. */
  readonly caPin?: string
  /** The proxy's web certificate is not checked: the user said so. */
  readonly isInsecure: boolean
}

/** The profiles of one user of the machine, in `~/.tsh` or `$TELEPORT_HOME`. Several processes may use them at once. */
export interface ProfileStore {
  /** Directory that holds them. */
  readonly home: string
  /** @throws {NotFound} `current-profile is not set` */
  getCurrent(): Promise<Profile>
  findCurrent(): Promise<Profile | undefined>
  /** @throws {InvalidInput} where the file cannot be understood */
  find(name: string): Promise<Profile | undefined>
  /** Every readable profile, by name. Directories and symbolic links are passed over. */
  list(): Promise<readonly Profile[]>
  /** Writes the profile and makes it the current one. Keys of the file that we do not know are kept. */
  save(profile: Profile): Promise<void>
  /** Also clears `current-profile` where it names this one. */
  remove(name: string): Promise<void>
}

/** Opens the profile directory; it is made when something is written. */
export function openProfileStore(home: string): ProfileStore {
  const file = (name: string): string => join(home, `${pathComponent(name)}.yaml`)
  const currentFile = join(home, 'current-profile')
  const find = async (name: string): Promise<Profile | undefined> => {
    const text = await readIfThere(file(name))
    return text === undefined ? undefined : parseProfile(text, name, file(name))
  }
  const currentName = async (): Promise<string | undefined> => (await readIfThere(currentFile))?.trim() || undefined
  const findCurrent = async (): Promise<Profile | undefined> => {
    const name = await currentName()
    return name === undefined ? undefined : find(name)
  }
  return {
    home,
    find,
    findCurrent,
    async getCurrent() {
      const profile = await findCurrent()
      if (profile === undefined) {
        throw new NotFound('current-profile is not set', { hint: 'run "tsh login --proxy=HOST --user=NAME"' })
      }
      return profile
    },
    async list() {
      const entries = await readdir(home, { withFileTypes: true }).catch(() => [])
      const names = entries
        .filter((entry) => entry.isFile() && entry.name.endsWith('.yaml'))
        .map((entry) => entry.name.slice(0, -'.yaml'.length))
        .sort()
      const profiles = await Promise.all(names.map((name) => find(name).catch(() => undefined)))
      return profiles.filter((profile) => profile !== undefined)
    },
    async save(profile) {
      await withLock(lockFile(home), async () => {
        const { stringify } = await import('yaml')
        const before = await readKeys(await readIfThere(file(profile.name)))
        await writePrivateFile(file(profile.name), stringify({ ...before, ...encodeProfile(profile) }))
        await writePrivateFile(currentFile, `${profile.name}\n`)
      })
    },
    async remove(name) {
      await withLock(lockFile(home), async () => {
        await rm(file(name), { force: true })
        if ((await currentName()) === name) await rm(currentFile, { force: true })
      })
    },
  }
}

/**
 * Parses a profile file. A missing `cluster` means the profile's name.
 *
 * @throws {InvalidInput} naming the file and the key
 */
export async function parseProfile(text: string, name: string, source: string): Promise<Profile> {
  const keys = await readKeys(text)
  const invalid = (what: string): InvalidInput =>
    new InvalidInput(`${source}: ${what}`, { hint: 'log in again with "tsh login --proxy=HOST --user=NAME"' })
  if (keys === undefined) throw invalid('this is not a profile')
  const textOf = (key: string): string => (typeof keys[key] === 'string' ? keys[key] : '')
  if (textOf('web_proxy_addr') === '') throw invalid('web_proxy_addr is missing')
  if (textOf('user') === '') throw invalid('user is missing')
  const caPin = textOf('ca_pin')
  return {
    name,
    proxy: parseProxyAddress(textOf('web_proxy_addr')),
    user: textOf('user'),
    cluster: textOf('cluster') || name,
    authConnector: textOf('auth_connector') || 'local',
    ...(caPin === '' ? {} : { caPin }),
    isKubeEnabled: textOf('kube_proxy_addr') !== '',
    isInsecure: keys.insecure === true,
  }
}

/** Keys as the file has them; `ca_pin` and `insecure` are our own, the rest are what other tools read. */
function encodeProfile({
  proxy,
  user,
  cluster,
  authConnector,
  isKubeEnabled,
  caPin,
  isInsecure,
}: Profile): Record<string, unknown> {
  const address = formatProxyAddress(proxy)
  return {
    web_proxy_addr: address,
    kube_proxy_addr: isKubeEnabled ? address : undefined,
    user,
    cluster,
    tls_routing_enabled: true,
    auth_connector: authConnector,
    ca_pin: caPin,
    insecure: isInsecure ? true : undefined,
  }
}

async function readKeys(text: string | undefined): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (text === undefined) return undefined
  const simple = readSimpleKeys(text)
  if (simple !== undefined) return simple
  const { parse } = await import('yaml')
  try {
    const value: unknown = parse(text, { maxAliasCount: 0, logLevel: 'error' })
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return Object.fromEntries(Object.entries(value))
  } catch {
    return undefined
  }
}

/**
 * Reads a file of the form that we write, one plain scalar to a key, without the YAML library: its loading would be the
 * longest part of `tsh status`. `undefined` for any other form.
 */
function readSimpleKeys(text: string): Readonly<Record<string, unknown>> | undefined {
  const keys = new Map<string, unknown>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, key = '', value = ''] = SIMPLE_LINE.exec(line) ?? []
    if (key === '' || keys.has(key) || NOT_A_TEXT.test(value)) return undefined
    keys.set(key, value === 'true' ? true : value === 'false' ? false : value)
  }
  return Object.fromEntries(keys)
}

/** `key: value` where the value cannot be anything but a plain text, `true` or `false`. @see YAML 1.2.2 §7.3.3, §10.3.2 */
const SIMPLE_LINE = /^([a-z_]+): ([A-Za-z0-9][A-Za-z0-9_./@+-]*(?::[A-Za-z0-9_./@+-]+)*)$/
const NOT_A_TEXT =
  /^(?:null|Null|NULL|True|TRUE|False|FALSE|[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)$/
