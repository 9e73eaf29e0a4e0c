import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseRole } from '#resources/role.ts'
import { compileLabelExpression } from './label-expression.ts'

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
