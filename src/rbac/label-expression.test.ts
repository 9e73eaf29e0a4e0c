import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { AccessError } from '#errors.ts'
import { parseRole } from '#resources/role.ts'
import { compileLabelExpression, EvaluationFailure } from './label-expression.ts'

const labels = { env: 'dev', team: 'cloud', 'owner mail': 'a@x.io', 'project-1': 'p1', 'project-2': 'p2' }
const traits = { teams: ['cloud', 'ops'], projects: ['p2'], email: ['a@x.io'] }

suite('label expressions', () => {
  for (const [text, answer] of [
    ['labels["env"] == "dev"', true],
    ['labels.env == `dev`', true],
    ['labels["env"] != "dev"', false],
    ['labels["missing"] == ""', true],
    ['contains(user.spec.traits["teams"], labels["team"])', true],
    ['contains(user.spec.traits["missing"], labels["team"])', false],
    ['contains("cloud", labels["team"])', true],
    ['contains_any(user.spec.traits["projects"], labels_matching("project-*"))', true],
    ['contains_all(user.spec.traits["projects"], labels_matching("project-*"))', false],
    ['contains_all(user.spec.traits["projects"], labels_matching("nothing-*"))', false],
    ['contains_any(labels_matching("^project-[12]$"), user.spec.traits["projects"])', true],
    ['regexp.match(user.spec.traits["teams"], "^op")', true],
    ['contains(regexp.replace(user.spec.traits["teams"], "^(o)ps$", "$1"), "o")', true],
    ['contains(email.local(user.spec.traits["email"]), "a")', true],
    ['contains(email.local(labels["owner mail"]), "a")', true],
    ['contains(strings.upper(labels["env"]), "DEV")', true],
    ['contains(strings.lower("DEV"), labels["env"])', true],
    ['!(labels["env"] == "prod") && (labels["team"] == "ops" || labels["team"] == "cloud")', true],
    // The right side has no answer, and is not asked for one.
    ['labels["env"] == "prod" && labels["team"]', false],
    ['labels["env"] == "dev" || labels["team"]', true],
  ] as const) {
    test(`${text} is ${answer}`, () => assert.equal(compileLabelExpression(text)({ labels, traits }), answer))
  }

  for (const text of [
    'labels["env"]',
    'labels["env"] && true',
    '!labels["env"]',
    'labels["env"] == true',
    'user.spec.traits["teams"] == "cloud"',
    'contains(true, "a")',
    'contains(user.spec.traits["teams"], user.spec.traits["teams"])',
    'contains(email.local(user.spec.traits["teams"]), "a")',
  ]) {
    test(`${text} has no answer`, () => {
      assert.throws(() => compileLabelExpression(text)({ labels, traits }), { name: 'Error' })
    })
  }

  for (const [text, problem] of [
    ['contains(labels["a"])', /takes 2 arguments, found 1/],
    ['label["a"] == "b"', /unsupported variable/],
    ['user.spec.roles == "a"', /unsupported variable/],
    ['exists(labels["a"])', /unsupported function "exists"/],
    ['regexp.match(labels["a"], "(")', /failed to parse regexp/],
    ['labels_matching("^($")', /failed to parse regexp/],
    ['labels["a"] ==', /ends too early/],
  ] as const) {
    test(`a role with ${text} cannot be written`, () => {
      const spec = { allow: { app_labels_expression: text } }
      assert.throws(() => parseRole({ kind: 'role', metadata: { name: 'r' }, spec }), problem)
    })
  }
})

test('whatever an expression says, it has an answer or a named error', () => {
  const term = fc.constantFrom(
    'labels["env"]',
    'labels["x"]',
    'user.spec.traits["teams"]',
    '"^a"',
    '"dev"',
    'true',
    'labels_matching("*")',
  )
  const { expression } = fc.letrec<{ expression: string }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      term,
      tie('expression').map((inner) => `!(${inner})`),
      fc
        .tuple(tie('expression'), fc.constantFrom('&&', '||', '==', '!='), tie('expression'))
        .map(([a, op, b]) => `(${a}) ${op} (${b})`),
      fc
        .tuple(
          fc.constantFrom('contains', 'contains_any', 'contains_all', 'regexp.match'),
          tie('expression'),
          tie('expression'),
        )
        .map(([name, a, b]) => `${name}(${a}, ${b})`),
      tie('expression').map((inner) => `regexp.replace(${inner}, "d", "$1x")`),
      fc
        .tuple(fc.constantFrom('email.local', 'strings.upper'), tie('expression'))
        .map(([name, inner]) => `${name}(${inner})`),
    ),
  }))
  let answers = 0
  fc.assert(
    fc.property(expression, (text) => {
      try {
        assert.equal(typeof compileLabelExpression(text)({ labels, traits }), 'boolean')
        answers++
      } catch (error) {
        assert.ok(error instanceof AccessError || error instanceof EvaluationFailure, String(error))
      }
    }),
    { numRuns: 2000 },
  )
  assert.ok(answers > 0)
})
