import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInput } from '#errors.ts'
import { splitPem } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import {
  encodedPathComponent,
  lockFile,
  pathComponent,
  readIfThere,
  withLock,
  writePrivateFile,
} from './private-file.ts'

/** A certificate with its private key, both PEM. */
export interface KeyPairFiles {
  readonly certificatePem: string
  readonly privateKeyPem: string
}

/** Where the files of one app login are. */
export interface AppPaths {
  readonly certificate: string
  readonly key: string
  /** Certificate (never the key) of the local proxy's own authority. */
  readonly localCa: string
  /** What the local proxy keeps of roles that were assumed with the login. */
  readonly assumedRoles: string
}

/** The key of local proxies that serve more than one login. */
export interface LocalProxyKey {
  /** PKCS #8 */
  readonly privateKeyPem: string
  /** Where the certificate (never the key) of those proxies' own authority is. */
  readonly localCa: string
}

/**
 * Keys and certificates of one user at one proxy, below `keys/<proxy host>/`:
 *
 *     <user>.key  <user>.crt                   the login
 *     cas/<cluster>.pem                        host authorities of a cluster
 *     <user>-app/<cluster>/<app>.crt  .key     an app login, <app>-localca.pem and <app>-assumed-roles beside them
 *     <user>-app/_local-proxy.key              what the keys of AWS profiles are derived from, _local-proxy-ca.pem beside it
 *
 * Directories are 0700, files 0600. A key and its certificate are replaced under a lock, and a reader that meets
 * a pair that does not belong together reads again.
 */
export interface KeyStore {
  readonly paths: { readonly certificate: string; readonly key: string; hostAuthorities(cluster: string): string }
  appPaths(cluster: string, app: string): AppPaths
  readLogin(): Promise<KeyPairFiles | undefined>
  writeLogin(login: KeyPairFiles): Promise<void>
  /** PEM of each authority; empty where the cluster is not known. */
  readHostAuthorities(cluster: string): Promise<readonly string[]>
  writeHostAuthorities(cluster: string, pem: string): Promise<void>
  readApp(cluster: string, app: string): Promise<KeyPairFiles | undefined>
  /** PKCS #8 PEM of the key of an app login, made at the first call: logins that are made at once share it. */
  appKey(cluster: string, app: string): Promise<string>
  writeApp(cluster: string, app: string, login: KeyPairFiles): Promise<void>
  /** Names of apps of which any file is there, an expired or half-removed login too. */
  listApps(cluster: string): Promise<readonly string[]>
  removeApp(cluster: string, app: string): Promise<void>
  /** The key of local proxies that serve more than one login, made at the first call. It stays as long as the user is logged in. */
  localProxyKey(): Promise<LocalProxyKey>
  /** Removes all that this user has at this proxy; the authorities too when nobody else uses them. */
  removeUser(): Promise<void>
  /** Removes all that anybody has at this proxy: users who were logged in here before, too. */
  removeProxy(): Promise<void>
}

/** Opens the key store of `user` at `proxyHost` in the profile directory `home`. @throws {InvalidInput} for a name that is no file name */
export function openKeyStore(home: string, { proxyHost, user: name }: { proxyHost: string; user: string }): KeyStore {
  const user = encodedPathComponent(name)
  const directory = join(home, 'keys', pathComponent(proxyHost))
  const login = { certificate: join(directory, `${user}.crt`), key: join(directory, `${user}.key`) }
  const appDirectory = (cluster: string): string => join(directory, `${user}-app`, pathComponent(cluster))
  const hostAuthorities = (cluster: string): string => join(directory, 'cas', `${pathComponent(cluster)}.pem`)
  const appPaths = (cluster: string, app: string): AppPaths => {
    const base = join(appDirectory(cluster), pathComponent(app))
    return {
      certificate: `${base}.crt`,
      key: `${base}.key`,
      localCa: `${base}-localca.pem`,
      assumedRoles: `${base}-assumed-roles`,
    }
  }
  const locked = <T>(work: () => Promise<T>): Promise<T> => withLock(lockFile(home), work)
  return {
    paths: { ...login, hostAuthorities },
    appPaths,
    readLogin: () => readPair(login, locked),
    writeLogin: (pair) => locked(() => writePair(login, pair)),
    async readHostAuthorities(cluster) {
      return splitPem((await readIfThere(hostAuthorities(cluster))) ?? '')
    },
    writeHostAuthorities: (cluster, pem) => writePrivateFile(hostAuthorities(cluster), pem),
    readApp: (cluster, app) => readPair(appPaths(cluster, app), locked),
    appKey: (cluster, app) => locked(() => keyAt(appPaths(cluster, app).key)),
    writeApp: (cluster, app, pair) => locked(() => writePair(appPaths(cluster, app), pair)),
    async listApps(cluster) {
      const files = await readdir(appDirectory(cluster)).catch(() => [])
      const names = files.flatMap((file) => /^(.+?)(?:\.crt|\.key|-localca\.pem)$/.exec(file)?.[1] ?? [])
      return [...new Set(names)].sort()
    },
    removeApp: (cluster, app) =>
      locked(async () => {
        for (const path of Object.values(appPaths(cluster, app))) await rm(path, { force: true })
      }),
    localProxyKey: () =>
      locked(async () => {
        const base = join(directory, `${user}-app`, '_local-proxy') // no cluster is called that: it is no host name
        return { privateKeyPem: await keyAt(`${base}.key`), localCa: `${base}-ca.pem` }
      }),
    removeProxy: () => locked(() => rm(directory, { recursive: true, force: true })),
    removeUser: () =>
      locked(async () => {
        for (const path of [login.certificate, login.key]) await rm(path, { force: true })
        await rm(join(directory, `${user}-app`), { recursive: true, force: true })
        const left = await readdir(directory).catch(() => [])
        if (left.every((name) => name === 'cas')) await rm(directory, { recursive: true, force: true })
      }),
  }
}

/** The key in a file; a new one where there is none, or none that can be read. */
async function keyAt(path: string): Promise<string> {
  const found = await readIfThere(path)
  try {
    if (found !== undefined && createPrivateKey(found).type === 'private') return found
  } catch {
    // as if it were not there
  }
  const made = privateKeyPem(generateKeyPair().privateKey)
  await writePrivateFile(path, made)
  return made
}

type Paths = { readonly certificate: string; readonly key: string }

/** The key goes first: a certificate is only ever found beside its own key or, for an instant, beside a newer one. */
async function writePair(paths: Paths, { certificatePem, privateKeyPem }: KeyPairFiles): Promise<void> {
  await writePrivateFile(paths.key, privateKeyPem)
  await writePrivateFile(paths.certificate, certificatePem)
}

async function readPair(
  paths: Paths,
  locked: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<KeyPairFiles | undefined> {
  const read = async (): Promise<KeyPairFiles | undefined> => {
    const [certificatePem, privateKeyPem] = [await readIfThere(paths.certificate), await readIfThere(paths.key)]
    return certificatePem === undefined || privateKeyPem === undefined ? undefined : { certificatePem, privateKeyPem }
  }
  const pair = await read()
  if (pair === undefined || belongTogether(pair, paths)) return pair
  const again = await locked(read)
  if (again === undefined || belongTogether(again, paths)) return again
  throw new InvalidInput(`${paths.certificate} does not belong to ${paths.key}`, {
    hint: 'run "tsh logout", then log in again',
  })
}

function belongTogether({ certificatePem, privateKeyPem }: KeyPairFiles, paths: Paths): boolean {
  try {
    return new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(privateKeyPem))
  } catch (cause) {
    throw new InvalidInput(`${paths.certificate} or ${paths.key} cannot be read`, {
      hint: 'run "tsh logout", then log in again',
      cause,
    })
  }
}
