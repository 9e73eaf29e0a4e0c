import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import { expandTemplate, localPart, parseTemplate } from './template.ts'

const traits = {
  env: ['dev', 'qa'],
  email: ['a@x.io'],
  'with space': ['s'],
  empty: [''],
  none: [],
  mixed: ['dev', '', 'dev'],
}

suite('a template gives one text for each value of its trait', () => {
  for (const [text, answer] of [
    ['plain', ['plain']],
    ['', ['']],
    ['a{b}c', ['a{b}c']],
    ['IAM#{{external.env}};', ['IAM#dev;', 'IAM#qa;']],
    ['{{external.env}}', ['dev', 'qa']],
    ['{{ external.env }}', ['dev', 'qa']],
    ['  x{{external.env}}y  ', ['xdevy', 'xqay']],
    ['x {{external.env}} y', ['x dev y', 'x qa y']],
    ['{{internal.logins}}', []],
    ['{{external["with space"]}}', ['s']],
    ['{{external[`env`]}}', ['dev', 'qa']],
    ['{{internal["logins"]}}', []],
    ['{{email.local(external.email)}}', ['a']],
    ['{{email.local("Bob <bob@x.io>")}}', ['bob']],
    ['{{regexp.replace(external.env,"^(dev)$","$1")}}', ['dev']],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a group of the regular expression
    ['{{regexp.replace(external.env, "^(d)(?P<rest>.*)$", "$rest-${1}")}}', ['ev-d']],
    ['{{regexp.replace(external.env, "^(.*)$", "$1x")}}', []],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a group of the regular expression
    ['{{regexp.replace(external.env, "^(.*)$", "$$${1}x")}}', ['$devx', '$qax']],
    ['{{regexp.replace(email.local(external.email), "a{1}", "b")}}', ['b']],
    ['{{"literal"}}', ['literal']],
    ['{{external.missing}}', []],
    ['{{external.empty}}', []],
    ['{{external.none}}', []],
    ['{{external.mixed}}', ['dev']],
    ['{{external.constructor}}', []],
    ['{{external["__proto__"]}}', []],
    // One value that is no address makes the whole entry count for nothing.
    ['{{email.local(external.env)}}', []],
  ] as const) {
    test(`${JSON.stringify(text)} is ${JSON.stringify(answer)}`, () => {
      assert.deepEqual(expandTemplate(parseTemplate(text), traits), answer)
    })
  }
})

suite('what is no template is refused in the words of the reference', () => {
  const brackets = (text: string): string =>
    `${JSON.stringify(text)} is using template brackets '{{' or '}}', however expression does not parse, make sure the format is {{expression}}`
  for (const text of [
    '{{',
    '}}',
    '{{}}',
    'a}}b',
    '{{external.a',
    'external.a}}',
    '{{external.a}} {{external.b}}',
    '{{a b}}',
    '{x}{{external.a}}',
    '{{external.a}}{x}',
    '{{external["a]}}',
    '{{{external.a}}}',
  ]) {
    test(JSON.stringify(text), () => assert.throws(() => parseTemplate(text), { message: brackets(text) }))
  }
  for (const [text, message] of [
    ['{{internal.foo}}', /^unsupported variable "internal.foo"$/],
    ['{{traits.foo}}', /^unsupported variable "traits.foo"$/],
    ['{{external.a.b}}', /^unsupported variable "external.a.b"$/],
    ['{{external}}', /^unsupported variable "external"$/],
    ['{{email.local("")}}', /^found empty "email.local" argument$/],
    ['{{email.local()}}', /takes one argument$/],
    ['{{regexp.replace(external.a, "b")}}', /takes three arguments$/],
    ['{{regexp.replace(external.a, external.b, "c")}}', /must be strings in quotes$/],
    ['{{regexp.replace(external.a, "(?=b)", "c")}}', /^failed to parse regexp/],
    ['{{os.exec("ls")}}', /^unsupported function: os.exec$/],
    ['{{external.a == external.b}}', /operators have no place/],
    ['{{true}}', /gives text/],
  ] as const) {
    test(text, () => assert.throws(() => parseTemplate(text), { message }))
  }
})

suite('the local part of an address', () => {
  for (const [address, local] of [
    ['alice@example.com', 'alice'],
    ['Alice A. <alice.a@example.com>', 'alice.a'],
    ['"a b"@example.com', 'a b'],
    ['a@[127.0.0.1]', 'a'],
    ['alice', undefined],
    ['@example.com', undefined],
    ['alice@', undefined],
    ['a@b@c', undefined],
    ['alice@example.com\n', 'alice'],
    ['a..b@example.com', undefined],
    [`${'a'.repeat(2000)}@example.com`, undefined],
  ] as const) {
    test(JSON.stringify(address.slice(0, 40)), () => assert.equal(localPart(address), local))
  }
})

test('whatever stands in a template, only a named error is thrown', () => {
  const piece = fc.constantFrom(
    '{{',
    '}}',
    '{',
    '}',
    'external',
    '.',
    'env',
    '["',
    '"]',
    '(',
    ')',
    ',',
    '"',
    '`',
    '\\',
    ' ',
    'email.local',
    'regexp.replace',
    '$1',
    '^',
    '&&',
    '!',
    '==',
  )
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 5 })), { maxLength: 30 }), (pieces) => {
      try {
        const values = expandTemplate(parseTemplate(pieces.join('')), traits)
        assert.ok(values.every((value) => typeof value === 'string'))
      } catch (error) {
        assert.ok(error instanceof AccessError, String(error))
      }
    }),
    { numRuns: 3000 },
  )
})

test('a replacement that multiplies itself ends at a limit', () => {
  const template = parseTemplate(`{{regexp.replace(external.long, "x", "${'y'.repeat(4000)}")}}`)
  assert.deepEqual(expandTemplate(template, { long: ['x'.repeat(60_000)] }), [])
})
