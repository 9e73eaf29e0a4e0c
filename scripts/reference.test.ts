import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { suite, test } from 'node:test'
import { parseConfig } from '#daemon/config.ts'
import { referencePages } from './reference.ts'
import { undescribedConfigFields } from './reference-config.ts'
import { undescribedResourceFields } from './reference-resources.ts'

const root = new URL('..', import.meta.url).pathname
const pages = await referencePages()

suite('the reference', () => {
  for (const [file, text] of Object.entries(pages)) {
    test(`${file} says what the source says`, () => {
      assert.ok(existsSync(root + file) && readFileSync(root + file, 'utf8') === text, 'run npm run generate')
    })

    test(`${file} links to headings that are there`, () => {
      for (const [, page = '', anchor = ''] of text.matchAll(/\]\(([\w-]+\.md)?#([^)]*)\)/g)) {
        const target = page === '' ? text : (pages[`docs/reference/${page}`] ?? '')
        const headings = [...target.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
          heading.toLowerCase().replaceAll(' ', '-'),
        )
        assert.ok(headings.includes(anchor), `${page}#${anchor}`)
      }
    })
  }

  test('every field of a resource has a meaning', () => assert.deepEqual(undescribedResourceFields(), []))

  test('every key of the configuration has a meaning', () => assert.deepEqual(undescribedConfigFields(), []))

  test('the configuration that it shows is one', () => {
    const [, yaml = ''] = /```yaml\n([\s\S]*?)```/.exec(pages['docs/reference/teleport-yaml.md'] ?? '') ?? []
    assert.equal(parseConfig(yaml, 'the example').app?.apps[0]?.metadata.name, 'awsconsole')
  })
})
