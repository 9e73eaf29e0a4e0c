/** `npm run bench NAME [-- --long]`: runs one benchmark and ends with one line of JSON. */
import { globSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'

const { values, positionals } = parseArgs({
  options: { long: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const here = new URL('.', import.meta.url).pathname
const names = globSync('*.bench.ts', { cwd: here })
  .map((file) => file.replace(/\.bench\.ts$/, ''))
  .sort()
const [name = ''] = positionals
if (!names.includes(name)) {
  console.error(`ERROR: there is no benchmark "${name}"`)
  console.error(`hint: run one of: ${names.map((known) => `npm run bench ${known}`).join(', ')}`)
  process.exit(1)
}
const { bench } = (await import(`./${name}.bench.ts`)) as { bench: Bench } // by the rule of this folder
console.error(bench.says)
console.log(JSON.stringify(await bench.run({ long: values.long, say: (line) => console.error(line) })))
