import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { InvalidResource } from './invalid-resource.ts'
import { findKind, kinds } from './kinds.ts'
import { parseDocuments, readDocuments } from './parse.ts'
import { presetRoles } from './preset-roles.ts'

const head = 'kind: role\nversion: v5\nmetadata:\n  name: aws\nspec:\n  allow:\n'

suite('an error names the file, the place and the field', () => {
  for (const { says, text, line, column, message } of [
    {
      says: 'an unknown field',
      text: `${head}    app_label: {}\n`,
      line: 7,
      column: 5,
      message: 'f.yaml:7:5: role "aws": spec.allow.app_label: unknown field "app_label", did you mean "app_labels"?',
    },
    {
      says: 'a value',
      text: `${head}    aws_role_arns:\n      - a\n      - '*'\n`,
      line: 9,
      column: 9,
      message: 'f.yaml:9:9: role "aws": spec.allow.aws_role_arns[1]: wildcard matcher is not allowed in aws_role_arns',
    },
    {
      says: 'the second document',
      text: `${head}    {}\n---\nkind: lock\nmetadata: {name: l}\nspec: {target: {usr: a}}\n`,
      line: 11,
      column: 17,
      message: 'f.yaml:11:17: lock "l": spec.target.usr: unknown field "usr", did you mean "user"?',
    },
    {
      says: 'a field that is not there, by its parent',
      text: 'kind: role\nmetadata:\n  labels: {}\n',
      line: 2,
      column: 1,
      message: 'f.yaml:2:1: role: metadata.name: missing parameter Name',
    },
    {
      says: 'an item of a JSON list',
      text: '[\n {"kind": "user", "metadata": {"name": "a"}},\n {"kind": "user", "metadata": {"name": "b"}, "spec": {"rolls": []}}\n]',
      line: 3,
      column: 55,
      message: 'f.yaml:3:55: user "b": spec.rolls: unknown field "rolls", did you mean "roles"?',
    },
    {
      says: 'broken YAML',
      text: 'kind: role\nmetadata: {name: a\nspec: {}\n',
      line: 3,
      column: 1,
      message: /^f\.yaml:3:1: is not valid YAML: /,
    },
    {
      says: 'a key twice',
      text: 'kind: role\nkind: role\n',
      line: 2,
      column: 1,
      message: 'f.yaml:2:1: is not valid YAML: Map keys must be unique',
    },
    {
      says: 'a list where a map belongs',
      text: 'kind: role\nmetadata: []\n',
      line: 2,
      column: 1,
      message: 'f.yaml:2:1: role: metadata: expected a map of fields, found a list',
    },
    {
      says: 'an unknown kind',
      text: 'kind: rolle\n',
      line: 1,
      column: 1,
      message: 'f.yaml:1:1: kind: kind "rolle" is not known, did you mean "role"?',
    },
    {
      says: 'no kind',
      text: 'metadata: {name: a}\n',
      line: 1,
      column: 1,
      message: 'f.yaml:1:1: the field "kind" is missing',
    },
    {
      says: 'no resource',
      text: 'just text\n',
      line: 1,
      column: 1,
      message: 'f.yaml:1:1: expected a resource, found a text',
    },
    {
      says: 'a number for a label',
      text: 'kind: app\nmetadata: {name: a, labels: {aws_account_id: 012345678901}}\nspec: {cloud: AWS}\n',
      line: 2,
      column: 30,
      message:
        'f.yaml:2:30: app "a": metadata.labels.aws_account_id: expected a text, found the number 12345678901: put it in quotes',
    },
  ]) {
    test(says, () => {
      assert.throws(
        () => parseDocuments(text, 'f.yaml'),
        (error) => {
          assert.ok(error instanceof InvalidResource)
          if (typeof message === 'string') assert.equal(error.message, message)
          else assert.match(error.message, message)
          assert.deepEqual([error.file, error.line, error.column], ['f.yaml', line, column])
          assert.notEqual(error.hint, '')
          return true
        },
      )
    })
  }
})

suite('a template without quotes is named, with its line', () => {
  for (const [template, line] of [
    ['    aws_role_arns:\n    - {{external.aws_role_arns}}\n', 8],
    ['    aws_role_arns:\n      - {{internal["aws_role_arns"]}}\n', 8],
    ['    aws_role_arns: {{external.aws_role_arns}}\n', 7],
    ['    aws_role_arns: [{{external.aws_role_arns}}]\n', 7],
    ['    app_labels:\n      env: {{external.env}}\n', 8],
    ['    aws_role_arns:\n    - {{regexp.replace(external.x, "^[a](b)$", "$1")}}\n', 8],
    ['    aws_role_arns:\n    - {{email.local(external.x)}}\n    - b\n', 8],
    ['    aws_role_arns:\n    - {{external.a}}-suffix\n', 8],
  ] as const) {
    test(template.trim(), () => {
      assert.throws(
        () => parseDocuments(head + template, 'f.yaml'),
        (error) =>
          error instanceof InvalidResource &&
          error.line === line &&
          /put it in quotes/.test(error.message) &&
          /^write ['"]/.test(error.hint),
      )
    })
  }
  test('the hint is what works', () => {
    const line = '{{regexp.replace(external.x, "a", "b")}}'
    assert.throws(
      () => parseDocuments(`${head}    aws_role_arns: [${line}]\n`, 'f.yaml'),
      (error) =>
        error instanceof InvalidResource &&
        parseDocuments(`${head}    aws_role_arns: [${error.hint.slice(6)}]\n`, 'f').length === 1,
    )
  })
})

test('empty documents and comments are nothing', () => {
  assert.deepEqual(parseDocuments('# nothing\n---\n---\n# more\n', 'f'), [])
  assert.deepEqual(parseDocuments('', 'f'), [])
})

test('a bomb of aliases is refused and a plain alias is not', () => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((name, index) => `${name}: &${name} [${Array(10).fill(`*${'abcdefgh'[index]}`).join(',')}]`)
    .join('\n')}`
  assert.throws(() => readDocuments(bomb, 'f'), /its aliases cannot be resolved/)
  assert.deepEqual(readDocuments('a: &a [x]\nb: *a\n', 'f')[0]?.value, { a: ['x'], b: ['x'] })
})

test('deep nesting and foreign prototypes are refused', () => {
  for (const text of [
    '['.repeat(100_000),
    `kind: role\nmetadata: {name: a}\nspec: ${'{a: '.repeat(50)}1${'}'.repeat(50)}\n`,
    'kind: role\nmetadata: {name: a}\nspec: {__proto__: {allow: {}}}\n',
  ]) {
    assert.throws(() => parseDocuments(text, 'f'), { name: 'InvalidResource' })
  }
})

test('what is exported can be read again, as YAML and as JSON', () => {
  for (const text of [JSON.stringify(presetRoles), presetRoles.map((role) => stringify(role)).join('---\n')]) {
    assert.deepEqual(parseDocuments(text, 'f'), presetRoles)
  }
})

test('every kind is found by each of its names, and by nothing else', () => {
  for (const definition of kinds) {
    for (const name of [definition.kind, definition.plural, definition.kind.toUpperCase(), ...definition.aliases]) {
      assert.equal(findKind(name), definition)
    }
  }
  assert.equal(findKind('constructor'), undefined)
})

test('the name of a join token is in no message', () => {
  assert.throws(
    () => parseDocuments('kind: token\nmetadata: {name: s3cret}\nspec: {roles: [Gardener]}\n', 'f'),
    (error) => error instanceof InvalidResource && !error.message.includes('s3cret'),
  )
})

suite('whatever a file holds, only a named error is thrown', () => {
  const lines = fc.constantFrom(
    'kind: role',
    'kind: app',
    'kind: user',
    'metadata:',
    '  name: a',
    'spec:',
    '  allow:',
    '    app_labels: {"*": "*"}',
    '- {{a}}',
    '  - [',
    '---',
    '&a',
    '*a',
    '? x',
    '"',
    'a: |',
    '\t',
    '%YAML 1.1',
    '!!js/function x',
    '<<: *a',
  )
  test('lines of YAML', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(lines, fc.string({ maxLength: 12 })), { maxLength: 12 }), (all) =>
        throwsOnlyNamed(all.join('\n')),
      ),
      { numRuns: 2000 },
    )
  })
  test('JSON of the right outline', () => {
    const json = fc.jsonValue({ maxDepth: 3 })
    const document = fc.record(
      {
        kind: fc.constantFrom(...kinds.map(({ kind }) => kind)),
        version: json,
        metadata: fc.oneof(fc.constant({ name: 'a' }), json),
        spec: json,
        status: json,
      },
      { requiredKeys: ['kind'] },
    )
    fc.assert(
      fc.property(document, (value) => throwsOnlyNamed(JSON.stringify(value))),
      { numRuns: 2000 },
    )
  })
  const throwsOnlyNamed = (text: string): void => {
    try {
      parseDocuments(text, 'f')
    } catch (error) {
      assert.ok(error instanceof InvalidResource, String(error))
    }
  }
})

suite('what a newer version stored', () => {
  const stored = (kind: string, spec: object) =>
    findKind(kind)!.read({ kind, metadata: { name: 'n', mood: 'new' }, spec })
  test('still binds in the fields that are known', () => {
    assert.deepEqual(stored('lock', { target: { user: 'a', planet: 'x' }, colour: 1 }).spec, { target: { user: 'a' } })
    const preference = stored('cluster_auth_preference', { locking_mode: 'strict', webauthn: { rp_id: 'r', next: 1 } })
    assert.equal((preference.spec as { locking_mode: string }).locking_mode, 'strict')
    const authority = { type: 'host', cluster_name: 'c', active_keys: { tls: [{ cert: 'c', next: 1 }] } }
    assert.deepEqual((stored('cert_authority', authority).spec as { active_keys: object }).active_keys, {
      tls: [{ cert: 'c' }],
      jwt: [],
    })
    const server = { host_id: 'h', app: { kind: 'app', metadata: { name: 'a' }, spec: { cloud: 'AWS', next: 1 } } }
    assert.equal(stored('app_server', server).kind, 'app_server')
  })
  test('is refused where the unknown might be a limit, or nothing is left', () => {
    assert.throws(() => stored('token', { roles: ['App'], only_on_mondays: true }), { name: 'InvalidResource' })
    assert.throws(() => stored('user', { roles: ['access'] }), { name: 'InvalidResource' })
    assert.throws(() => stored('lock', { target: { planet: 'x' } }), /at least one target field/)
  })
})
