import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { checkVersion } from './version-check.ts'

suite('whether a client may talk to a cluster', () => {
  for (const [client, server, minClient, kind] of [
    ['1.2.3', '1.2.3', '1.0.0', 'ok'],
    ['1.9.0', '1.2.3', '1.0.0', 'ok'],
    ['1.2.3', '2.0.0', '1.0.0', 'warn'],
    ['0.9.9', '2.0.0', '1.0.0', 'refuse'],
    ['1.0.0-rc.1', '1.0.0', '1.0.0', 'refuse'],
    ['1.0.0', '1.0.0', '1.0.0-aa', 'ok'],
    ['2.0.0', '1.9.9', '1.0.0', 'refuse'],
    ['dev', '1.0.0', '1.0.0', 'ok'],
    ['1.0.0', '1.0.0', '', 'ok'],
  ] as const) {
    test(`client ${client}, cluster ${server} which serves from ${minClient || 'unknown'} on: ${kind}`, () =>
      assert.equal(checkVersion({ client, server, minClient }).kind, kind))
  }
  test('a refusal names both versions and what to install', () => {
    const check = checkVersion({ client: '0.9.0', server: '2.0.0', minClient: '1.0.0' })
    assert.equal(check.kind, 'refuse')
    assert.match(JSON.stringify(check), /0\.9\.0.*1\.0\.0.*install version 2\.0\.0/)
  })
})
