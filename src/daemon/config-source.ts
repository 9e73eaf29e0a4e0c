import { readFile } from 'node:fs/promises'
import type { Environment } from '#cli/terminal.ts'
import { UsageError } from '#cli/usage-error.ts'
import { InvalidInput } from '#errors.ts'
import { product } from '#product.ts'

/** The text of the configuration, and what it is called in messages and in the log. */
export interface ConfigSource {
  readonly text: string
  readonly name: string
  /** Left out: the built-in defaults. */
  readonly path?: string
}

export interface ConfigChoice {
  /** `--config`: must exist. */
  readonly config?: string
  /** `--config-string`: the file itself in base64. */
  readonly configString?: string
}

/** Finds the configuration: flag, environment, default file, and without any of these the defaults. @throws {InvalidInput} */
export async function readConfigSource(
  { config, configString }: ConfigChoice,
  env: Environment,
): Promise<ConfigSource> {
  const encoded = configString ?? (config === undefined ? env.TELEPORT_CONFIG : undefined)
  if (encoded !== undefined && encoded !== '') return { text: decodeBase64(encoded), name: '--config-string' }
  const named = config ?? env.TELEPORT_CONFIG_FILE
  const path = named || product.configFile
  try {
    return { text: await readFile(path, 'utf8'), name: path, path }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException // what the file system throws
    if (code === 'ENOENT' && !named) return { text: '', name: 'built-in defaults' }
    throw new InvalidInput(`failed to open file for Teleport configuration: ${path}`, {
      hint:
        code === 'EACCES'
          ? 'this user may not read the file: run as another user or change its permissions'
          : 'check the path given with --config',
      cause,
    })
  }
}

function decodeBase64(text: string): string {
  const compact = text.replaceAll(/\s/g, '')
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact) || compact.length % 4 !== 0) {
    throw new UsageError('configuration should be base64 encoded: it has characters that base64 does not have', {
      hint: 'encode the file with "base64 teleport.yaml"',
    })
  }
  return Buffer.from(compact, 'base64').toString('utf8')
}
