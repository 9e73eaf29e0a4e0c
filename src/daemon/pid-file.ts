import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { InvalidInput } from '#errors.ts'

/** Writes the process's id to a file, which is removed again with this, unless another process has taken it over. @throws {InvalidInput} */
export async function writePidFile(path: string, pid: number): Promise<AsyncDisposable> {
  const text = `${pid}\n`
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text, { mode: 0o644 })
  } catch (cause) {
    throw new InvalidInput(`cannot write the PID file ${path}`, { hint: 'choose another path with --pid-file', cause })
  }
  return {
    async [Symbol.asyncDispose]() {
      const found = await readFile(path, 'utf8').catch(() => '')
      if (found === text) await rm(path, { force: true })
    },
  }
}
