/**
 * Bundles each program into one file: `dist/{teleport,tsh,tctl}.mjs`, and beside it a launcher that keeps a compile cache
 * in a directory that only its owner can write.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const root = new URL('..', import.meta.url).pathname
const programs = ['teleport', 'tsh', 'tctl']
const workers = ['src/storage/sqlite-worker.ts', 'src/audit/log-sqlite-worker.ts'].filter((file) =>
  existsSync(root + file),
)

/** CommonJS parts of libraries call `require`, which a module does not have. */
const banner =
  "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);"

rmSync(`${root}dist`, { recursive: true, force: true })
mkdirSync(`${root}dist`)
await build({
  absWorkingDir: root,
  entryPoints: [
    ...programs.map((name) => ({ in: `bin/${name}.ts`, out: name })),
    ...workers.map((file) => ({ in: file, out: file.replace(/^.*\/(.*)\.ts$/, '$1') })),
  ],
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  platform: 'node',
  target: 'node26',
  format: 'esm',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  banner: { js: banner },
  logLevel: 'warning',
})
for (const name of programs) {
  writeFileSync(`${root}dist/${name}`, launcher(name))
  chmodSync(`${root}dist/${name}`, 0o755)
}
cpSync(`${root}bin/guard.mjs`, `${root}dist/guard.mjs`)
for (const name of programs)
  console.log(`dist/${name}.mjs: ${(statSync(`${root}dist/${name}.mjs`).size / 1024).toFixed(0)} KiB`)

function launcher(name: string): string {
  return `#!/bin/sh
# Starts ${name} from its bundle.
set -eu
self=$(readlink -f -- "$0" 2>/dev/null || echo "$0")
here=$(CDPATH= cd -- "$(dirname -- "$self")" && pwd)
node="$here/node"
[ -x "$node" ] || node=$(command -v node) || { echo "ERROR: no Node.js found" >&2; echo "hint: install Node.js 26 or newer" >&2; exit 1; }
if [ -n "\${HOME:-}" ]; then
  cache="$HOME/.cache/teleport-cloud-access/compile"
  (umask 077 && mkdir -p "$cache") 2>/dev/null && [ -O "$cache" ] && export NODE_COMPILE_CACHE="$cache"
fi
exec "$node" "$here/${name}.mjs" "$@"
`
}
