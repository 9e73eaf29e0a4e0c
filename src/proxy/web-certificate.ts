import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import tls from 'node:tls'
import { InvalidInput } from '#errors.ts'
import type { MemberIdentity } from '#join/join.ts'
import type { ServedNames } from '#join/served-names.ts'
import type { Log } from '#log.ts'
import type { KeypairFiles, ProxyConfig } from './config.ts'

/** Certificates of the web server, chosen by SNI. */
export interface WebCertificates extends Disposable {
  /** The one for this SNI; the first one where none fits better. */
  contextFor(serverName: string | undefined): Promise<tls.SecureContext>
  /** Chain of the first one, PEM: what `tsh` is shown. */
  readonly chainPem: () => Promise<string>
  /** Signed by the host authority of the cluster and by nobody else. */
  readonly isSelfSigned: boolean
}

/** Opens the configured files, or has the host authority sign a certificate. @throws {InvalidInput} for files that cannot be used */
export async function openWebCertificates(options: {
  readonly config: Pick<ProxyConfig, 'keypairs' | 'keypairsReloadMs' | 'publicAddr' | 'otherNames'>
  readonly servedNames: ServedNames
  readonly member: () => MemberIdentity
  readonly log: Log
}): Promise<WebCertificates> {
  return options.config.keypairs.length > 0 ? openFiles(options.config, options.log) : signedByCluster(options)
}

interface LoadedPair {
  readonly chainPem: string
  readonly context: tls.SecureContext
  readonly covers: (name: string) => boolean
}

async function openFiles(
  { keypairs, keypairsReloadMs = 0 }: Pick<ProxyConfig, 'keypairs' | 'keypairsReloadMs'>,
  log: Log,
): Promise<WebCertificates> {
  let pairs = await Promise.all(keypairs.map(loadPair))
  const reload = async (): Promise<void> => {
    try {
      pairs = await Promise.all(keypairs.map(loadPair)) // all or none
    } catch (error) {
      log.warn('the web certificates were not loaded again; the former ones stay in use', { error })
    }
  }
  const timer = keypairsReloadMs > 0 ? setInterval(reload, keypairsReloadMs).unref() : undefined
  const first = (): LoadedPair => {
    const [pair] = pairs
    if (pair === undefined) throw new Error('no pair of key and certificate')
    return pair
  }
  return {
    isSelfSigned: false,
    chainPem: async () => first().chainPem,
    contextFor: async (name) => ((name && pairs.find((pair) => pair.covers(name))) || first()).context,
    [Symbol.dispose]: () => clearInterval(timer),
  }
}

async function loadPair({ keyFile, certFile }: KeypairFiles): Promise<LoadedPair> {
  try {
    const [key, cert] = await Promise.all([readFile(keyFile, 'utf8'), readFile(certFile, 'utf8')])
    const leaf = new X509Certificate(cert)
    return {
      chainPem: cert,
      context: tls.createSecureContext({ key, cert, minVersion: 'TLSv1.2' }),
      covers: (name) => leaf.checkHost(name) !== undefined,
    }
  } catch (cause) {
    throw new InvalidInput(`the pair of ${keyFile} and ${certFile} cannot be used`, {
      hint: 'check proxy_service.https_keypairs: a PEM key, and a PEM certificate for it followed by its chain',
      cause,
    })
  }
}

/** The chain includes the authority, so that a client that was given its pin can check it before it trusts anything. */
function signedByCluster({
  config: { publicAddr, otherNames = [] },
  servedNames,
  member,
}: Parameters<typeof openWebCertificates>[0]): WebCertificates {
  const names = [publicAddr.host, ...otherNames]
  const kept = new Map<string, { readonly cert: string; readonly context: tls.SecureContext }>()
  const load = async (name: string): Promise<{ cert: string; context: tls.SecureContext }> => {
    const { cert, key } = await servedNames.contextFor('web', name) // from memory, unless it is due
    const known = kept.get(name)
    if (known?.cert.startsWith(cert)) return known
    const chain = `${cert.trimEnd()}\n${member().hostAuthorities.join('\n')}`
    const loaded = { cert: chain, context: tls.createSecureContext({ key, cert: chain, minVersion: 'TLSv1.2' }) }
    kept.set(name, loaded)
    return loaded
  }
  const nameFor = (serverName: string | undefined): string =>
    names.find((name) => serverName === name || serverName?.endsWith(`.${name}`)) ?? publicAddr.host
  return {
    isSelfSigned: true,
    chainPem: async () => (await load(publicAddr.host)).cert,
    contextFor: async (serverName) => (await load(nameFor(serverName))).context,
    [Symbol.dispose]() {},
  }
}
