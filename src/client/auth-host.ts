import { isIP } from 'node:net'
import { join } from 'node:path'
import { parseDocument } from 'yaml'
import { InvalidInput } from '#errors.ts'
import { product } from '#product.ts'
import { readIfThere } from './private-file.ts'

/** What the administrator's tool needs to know of the Auth Service on the same machine. */
export interface AuthHost {
  /** Certificate, key and authorities of the local administrator. */
  readonly identityFile: string
  /** Where the Auth Service listens, as reached from here. */
  readonly host: string
  readonly port: number
}

const DEFAULT_AUTH_PORT = 3025

/**
 * Reads from the daemon's configuration file where the local Auth Service is. `undefined` where there is no such file,
 * or where it does not run the Auth Service. Only the keys that are needed are looked at: the daemon checks the rest.
 *
 * @throws {InvalidInput} where the file is no YAML, or one of those keys is not as the daemon wants it
 */
export async function findAuthHost(configFile: string): Promise<AuthHost | undefined> {
  const text = await readIfThere(configFile)
  return text === undefined ? undefined : parseAuthHost(text, configFile)
}

/** The pure half of `findAuthHost`. */
export function parseAuthHost(text: string, source: string): AuthHost | undefined {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error !== undefined) {
    throw new InvalidInput(`${source}: ${error.message.split('\n')[0]}`, { hint: 'correct the configuration file' })
  }
  const key = (...path: readonly string[]): string | undefined => {
    const value: unknown = document.getIn(path)
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'string' && typeof value !== 'boolean' && typeof value !== 'number') {
      throw new InvalidInput(`${source}: ${path.join('.')} is not a plain value`, {
        hint: 'correct the configuration file',
      })
    }
    return String(value)
  }
  if (/^(no|off|false)$/i.test(key('auth_service', 'enabled') ?? 'yes')) return undefined
  const dataDir = key('teleport', 'data_dir') ?? product.dataDir
  const { host, port } = parseListenAddress(
    key('auth_service', 'listen_addr') ?? `0.0.0.0:${DEFAULT_AUTH_PORT}`,
    source,
  )
  return { identityFile: join(dataDir, 'admin.pem'), host: reachable(host), port }
}

function parseListenAddress(text: string, source: string): { host: string; port: number } {
  const [, bracketed, plain = '', port] = /^(?:tcp:\/\/)?(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? []
  const host = bracketed ?? plain
  const number = port === undefined ? DEFAULT_AUTH_PORT : Number(port)
  if (host === '' || number > 65_535) {
    throw new InvalidInput(`${source}: auth_service.listen_addr ${JSON.stringify(text)} is not an address`, {
      hint: 'write it as 0.0.0.0:3025',
    })
  }
  return { host, port: number }
}

/** An address to listen on, as an address to connect to. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (isIP(host) === 6 && /^[0:]+$/.test(host)) return '::1'
  return host
}
