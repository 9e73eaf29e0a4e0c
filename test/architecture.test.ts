/** Who may import whom, and the few other rules about files that a machine can check. */
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { suite, test } from 'node:test'

/** From the bottom. A folder imports itself and lower rows: nothing beside it, nothing above. */
const rows: readonly (readonly string[])[] = [
  ['errors', 'secret', 'clock', 'log', 'product', 'gen'],
  ['net'],
  ['pki'],
  ['spiffe', 'aws', 'azure', 'kube'],
  ['traits'],
  ['resources'],
  ['identity'],
  ['rbac'],
  ['storage', 'rpc', 'tls-routing', 'cli'],
  ['client', 'tunnel', 'cache'],
  ['audit', 'recordings', 'ca', 'join', 'sso', 'access-requests', 'access-lists'],
  ['local-proxy', 'workload-api'],
  ['auth', 'proxy', 'agents'],
  ['daemon', 'tsh', 'tctl', 'tbot'],
  ['bin'],
]
const words = rows[0] ?? []

/** Folders that compute and do not act: they import no `node:` module but these. */
const pure = ['pki', 'spiffe', 'traits', 'resources', 'rbac', 'identity', 'aws', 'azure', 'kube']
const pureNodeModules = [
  'node:crypto',
  'node:buffer',
  'node:util',
  'node:net',
  'node:assert',
  'node:querystring',
  'node:stream',
  'node:tls',
  'node:zlib',
  'node:string_decoder',
  'node:stream/web',
]
/** Of those, only what tells names from addresses. */
const netNames = ['isIP', 'isIPv4', 'isIPv6', 'BlockList', 'SocketAddress']

const root = new URL('..', import.meta.url).pathname
const files = globSync(
  ['src/**/*.ts', 'bin/*.ts', 'lab/**/*.ts', 'tour/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'scripts/**/*.ts'],
  { cwd: root },
).sort()
const isTest = (file: string): boolean => /\.(test|conformance)\.ts$/.test(file) || file.startsWith('test/')
const importsOf = (file: string): string[] =>
  [
    ...readFileSync(root + file, 'utf8').matchAll(
      /^\s*(?:import|export)\b[^'"\n]*?(?:\bfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^\}\s*from\s+['"]([^'"]+)['"]/gm,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? '')

/** `src/rbac/match.ts` is in `rbac`, `src/errors.ts` in `errors`, `bin/tsh.ts` in `bin`. */
function folderOf(file: string): string {
  const [top = '', second = ''] = file.split('/')
  return top === 'src' ? second.replace(/\.ts$/, '') : top
}
const rowOf = (folder: string): number => rows.findIndex((row) => row.includes(folder))

suite('who may import whom', () => {
  for (const file of files.filter(
    (file) => !isTest(file) && /^(src|bin)\//.test(file) && !file.startsWith('src/gen/'),
  )) {
    const folder = folderOf(file)
    test(file, () => {
      assert.ok(rowOf(folder) >= 0, `${folder} has no row: add it to the rows in this file and to docs/architecture.md`)
      for (const specifier of importsOf(file)) {
        if (specifier.startsWith('#')) {
          const target = specifier.slice(1).split('/')[0]?.replace(/\.ts$/, '') ?? ''
          assert.ok(
            target === folder || rowOf(target) < rowOf(folder),
            `imports ${specifier}, which is not below ${folder}`,
          )
        } else if (specifier.startsWith('.')) {
          assert.match(
            specifier,
            /^\.\/[^/]+\.ts$/,
            `imports ${specifier}: outside its own directory a file is imported as #folder/file.ts`,
          )
          if (dirname(file) === 'src') assert.ok(words.includes(specifier.replace(/^\.\/(.*)\.ts$/, '$1')))
        }
      }
    })
  }
})

test('a path inside one folder but in another directory is imported from its folder, and src never imports lab, tour, test or bench', () => {
  for (const file of files.filter((file) => file.startsWith('src/') && !isTest(file))) {
    for (const specifier of importsOf(file)) {
      assert.doesNotMatch(specifier, /^#(lab|tour|test|bench|scripts)\//, `${file} imports ${specifier}`)
      assert.doesNotMatch(specifier, /\.\.\//, `${file} imports ${specifier}`)
    }
  }
})

test('the lab shares no protocol code with what it checks', () => {
  const allowed = ['lab', 'pki', 'net', ...words]
  for (const file of files.filter((file) => file.startsWith('lab/') && !isTest(file))) {
    for (const specifier of importsOf(file).filter((specifier) => specifier.startsWith('#'))) {
      const target = specifier.slice(1).split('/')[0]?.replace(/\.ts$/, '') ?? ''
      assert.ok(allowed.includes(target), `${file} imports ${specifier}`)
    }
  }
})

test('pure folders do not act on the world', () => {
  for (const file of files.filter(
    (file) => pure.includes(folderOf(file)) && file.startsWith('src/') && !isTest(file) && !file.endsWith('-client.ts'),
  )) {
    for (const specifier of importsOf(file).filter((specifier) => specifier.startsWith('node:'))) {
      assert.ok(pureNodeModules.includes(specifier), `${file} imports ${specifier}`)
      if (specifier === 'node:net') {
        const named = /import\s*(?:type\s*)?\{([^}]*)\}\s*from 'node:net'/
          .exec(readFileSync(root + file, 'utf8'))?.[1]
          ?.split(',') ?? ['*']
        for (const name of named) assert.ok(netNames.includes(name.trim()), `${file} imports ${name} of node:net`)
      }
    }
  }
})

test('only bin reads arguments and environment and sets exit codes', () => {
  for (const file of files.filter((file) => file.startsWith('src/') && !isTest(file))) {
    assert.doesNotMatch(readFileSync(root + file, 'utf8'), /\bprocess\.(argv|env|exit\b|exitCode)/, file)
  }
})

test('a file is one concept: at most 400 lines', () => {
  for (const file of files.filter((file) => !file.startsWith('src/gen/'))) {
    assert.ok(readFileSync(root + file, 'utf8').split('\n').length <= 401, `${file} is longer than 400 lines`)
  }
})

test('there are no drawers', () => {
  for (const file of files)
    assert.doesNotMatch(file, /(^|\/)(utils?|helpers?|common|misc|shared|types|constants)(\/|\.ts$)/)
})
