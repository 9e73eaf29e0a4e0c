import { constants } from 'node:fs'
import { access, mkdir, stat } from 'node:fs/promises'
import { InvalidInput } from '#errors.ts'

/**
 * Makes the data directory where it is missing, for this user alone.
 *
 * @throws {InvalidInput} where it cannot be made or written, or is no directory
 */
export async function prepareDataDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 })
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK)
    if (!(await stat(path)).isDirectory()) throw new Error('it is no directory')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? `: ${String(cause.code)}` : ''
    throw new InvalidInput(`the data directory ${path} cannot be written${code}`, {
      hint: 'let the user of this process write there, or set teleport.data_dir to another directory',
      cause,
    })
  }
}
