/** Finds the real clients that `npm run tools` installed, or that the machine has. */
import { accessSync, constants } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'

/** Where `npm run tools` keeps what it installs: outside every checkout. */
export function toolFolder(env: NodeJS.ProcessEnv): string {
  return join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'teleport-cloud-access', 'tools')
}

/** The program's path, in the cache or on the PATH. */
export function findTool(name: string, env: NodeJS.ProcessEnv = process.env): string | undefined {
  const folders = [join(toolFolder(env), 'bin'), ...(env.PATH ?? '').split(delimiter)]
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

/**
 * The path of a program that a test needs. Where it is missing the test is skipped by name, and fails where `CI=true`.
 * @returns undefined when the test has been skipped: return from it
 */
export function requireTool(context: TestContext, name: string): string | undefined {
  const path = findTool(name)
  if (path !== undefined) return path
  if (process.env.CI === 'true') throw new Error(`${name} is missing: run "npm run tools"`)
  context.skip(`${name} is missing: run "npm run tools"`)
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
