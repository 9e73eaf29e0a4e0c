/** Bundles the programs of `bin`, so that they start fast and run where there is no `node_modules`. */
import { chmodSync, cpSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { build, type Metafile, type Plugin } from 'esbuild'

/** A program in its folder, with the size of all that it may load. */
export interface Bundled {
  readonly name: string
  readonly bytes: number
}

const root = new URL('..', import.meta.url).pathname

/**
 * Writes `NAME.mjs` for every `bin/NAME.ts` into `outdir`, and beside it the launcher `NAME`, which finds a Node.js
 * that is new enough. The folder may be moved as a whole and linked to. What was there before goes when all is built.
 *
 * Code is split, so that a command loads its own part alone: one file for each program takes longer to start.
 */
export async function bundlePrograms(outdir: string): Promise<readonly Bundled[]> {
  const fresh = `${outdir}.new`
  rmSync(fresh, { recursive: true, force: true })
  try {
    const bundled = await bundleInto(fresh)
    rmSync(outdir, { recursive: true, force: true })
    renameSync(fresh, outdir)
    return bundled
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

async function bundleInto(outdir: string): Promise<readonly Bundled[]> {
  const programs = globSync('bin/*.ts', { cwd: root })
    .map((file) => basename(file, '.ts'))
    .sort()
  const { workers, plugin } = workerFiles()
  mkdirSync(outdir, { recursive: true })
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      ...programs.map((name) => ({ in: `bin/${name}.ts`, out: mainFile(name) })),
      ...workers.map(({ file, out }) => ({ in: file, out })),
    ],
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    chunkNames: 'chunk-[hash]', // beside the workers: they are found from the chunk that starts them
    platform: 'node',
    target: 'node26',
    format: 'esm',
    legalComments: 'none',
    minifySyntax: true,
    minifyWhitespace: true,
    metafile: true,
    banner: { js: requireForLibraries },
    plugins: [plugin],
    logLevel: 'warning',
  })
  for (const file of ['guard.mjs', 'compile-cache.mjs']) cpSync(`${root}bin/${file}`, join(outdir, file))
  for (const name of programs) {
    writeFileSync(join(outdir, `${name}.mjs`), entry(name))
    writeFileSync(join(outdir, name), launcher(name))
    for (const file of [name, `${name}.mjs`]) chmodSync(join(outdir, file), 0o755)
  }
  const inside = (name: string): string => relative(root, join(outdir, `${mainFile(name)}.mjs`))
  return programs.map((name) => ({ name, bytes: reachableBytes(metafile, inside(name)) }))
}

/** CommonJS parts of libraries call `require`, which a module does not have. */
const requireForLibraries =
  "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);"

function mainFile(name: string): string {
  return `${name}-main`
}

/** One import after the other: an old Node.js must reach the guard, and only what is loaded later comes from the cache. */
function entry(name: string): string {
  return `#!/usr/bin/env node
import './guard.mjs'
await import('./compile-cache.mjs')
await import('./${mainFile(name)}.mjs')
`
}

/**
 * Prefers a Node.js that lies beside it, then the one that the lock file pins. That an installed one is new enough, the
 * program itself looks after.
 */
function launcher(name: string): string {
  const { optionalDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as PackageFile // our own
  const pinned = Object.keys(optionalDependencies).map((name) => `"$here/../node_modules/${name}/bin/node"`)
  return `#!/bin/sh
# Starts ${name} from its bundle.
set -eu
self=$0
if [ -L "$self" ]; then self=$(readlink -f -- "$self"); fi
case $self in */*) here=\${self%/*} ;; *) here=. ;; esac
for node in "$here/node" ${pinned.join(' ')}; do
  if [ -x "$node" ]; then exec "$node" "$here/${name}.mjs" "$@"; fi
done
if ! command -v node >/dev/null 2>&1; then
  echo 'ERROR: no Node.js found' >&2
  echo 'hint: install Node.js 26 or newer, or put it beside this program' >&2
  exit 1
fi
exec node "$here/${name}.mjs" "$@"
`
}

interface PackageFile {
  readonly optionalDependencies: Readonly<Record<string, string>>
}

interface WorkerFile {
  /** Example: `src/storage/sqlite-worker.ts`. */
  readonly file: string
  /** Name of its bundle: `storage-sqlite-worker`. */
  readonly out: string
}

const workerPlace = /new URL\(\s*'(\.[^']+\.ts)',\s*import\.meta\.url\s*\)/g

/**
 * Files that run in a thread of their own are started by their place, which a bundle changes. Finds every
 * `new URL('./file.ts', import.meta.url)` of the source, and makes it name the file's own bundle.
 */
function workerFiles(): { readonly workers: readonly WorkerFile[]; readonly plugin: Plugin } {
  const workers = new Map<string, WorkerFile>()
  const changed = new Map<string, string>()
  for (const file of globSync('src/**/*.ts', { cwd: root }).filter((file) => !file.endsWith('.test.ts'))) {
    const text = readFileSync(root + file, 'utf8')
    if (!text.includes('import.meta')) continue
    if (text.replaceAll(workerPlace, '').includes('import.meta.')) {
      throw new Error(`${file}: a bundle has no place for what import.meta is asked`)
    }
    const bundled = text.replaceAll(workerPlace, (_, place: string) => {
      const worker = join(dirname(file), place)
      const out = relative('src', worker).replace(/\.ts$/, '').replaceAll('/', '-')
      workers.set(worker, { file: worker, out })
      return `new URL('./${out}.mjs', import.meta.url)`
    })
    changed.set(root + file, bundled)
  }
  const plugin: Plugin = {
    name: 'workers',
    setup: ({ onLoad }) => {
      onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
        const contents = changed.get(path)
        return contents === undefined ? undefined : { contents, loader: 'ts', resolveDir: dirname(path) }
      })
    },
  }
  return { workers: [...workers.values()], plugin }
}

function reachableBytes({ outputs }: Metafile, start: string): number {
  const seen = new Set<string>()
  const visit = (file: string): void => {
    if (seen.has(file)) return
    seen.add(file)
    for (const { path } of outputs[file]?.imports ?? []) visit(path)
  }
  visit(start)
  return [...seen].reduce((sum, file) => sum + (outputs[file]?.bytes ?? 0), 0)
}
