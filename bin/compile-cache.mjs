// Loaded before a command line program: keeps compiled code between runs, which cuts most of its start-up. Plain
// JavaScript, because TypeScript would have to be translated before the translations that are kept can be used.
// The directory is one that nobody but this user can write: whoever can write there runs code as this user.
import { lstatSync, mkdirSync, statSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

try {
  const user = process.getuid?.()
  const home = process.env.XDG_CACHE_HOME || homedir()
  // Under sudo the home may be somebody else's: a directory of root's there would be in its owner's way.
  if (user !== undefined && statSync(home).uid === user) {
    const directory = join(process.env.XDG_CACHE_HOME || join(home, '.cache'), 'teleport-compiled')
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const { mode, uid } = lstatSync(directory)
    const isOwn = uid === user && (mode & 0o170022) === 0o040000 // a directory, not a link, that others cannot write
    if (isOwn) enableCompileCache(directory)
  }
} catch {
  // a home that is read-only, for example: it runs without
}
