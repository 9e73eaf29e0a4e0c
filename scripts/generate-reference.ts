/** Part of `npm run generate`: writes the pages of `docs/reference` that are made from the source. */
import { writeFileSync } from 'node:fs'
import { referencePages } from './reference.ts'

const root = new URL('..', import.meta.url).pathname
for (const [file, text] of Object.entries(await referencePages())) writeFileSync(root + file, text)
