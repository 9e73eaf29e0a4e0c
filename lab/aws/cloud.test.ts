import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { startAwsLab } from './cloud.ts'

test('the lab begins with what the guide sets up, or with an administrator alone', async () => {
  await using guided = await startAwsLab()
  await using empty = await startAwsLab({ empty: true, accountId: '210987654321', region: 'eu-west-1' })
  assert.deepEqual([...guided.account().roles.keys()], ['TeleportAWSAccess', 'ExampleReadOnlyAccess'])
  assert.deepEqual([...empty.account().roles.keys()], [])
  assert.equal(empty.environment().AWS_REGION, 'eu-west-1')
})

test('each identity gets the variables that it needs and no others', async () => {
  await using lab = await startAwsLab()
  const names = (identity?: Parameters<typeof lab.environment>[0]): string[] =>
    Object.keys(lab.environment(identity)).filter((name) => /KEY|TOKEN|METADATA/.test(name))
  const keys = ['AWS_EC2_METADATA_DISABLED', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']
  assert.deepEqual(names(), keys)
  assert.deepEqual(names({ role: 'ExampleReadOnlyAccess' }), [...keys, 'AWS_SESSION_TOKEN'])
  assert.deepEqual(names('instance'), ['AWS_EC2_METADATA_SERVICE_ENDPOINT'])
  assert.deepEqual(names('none'), ['AWS_EC2_METADATA_DISABLED'])
})

test('nothing of the lab is left when it has been disposed', async () => {
  const lab = await startAwsLab({ buckets: ['reports'] })
  assert.ok(existsSync(lab.caFile))
  await lab[Symbol.asyncDispose]()
  assert.ok(!existsSync(lab.caFile))
  await assert.rejects(fetch(lab.egressUrl))
  await assert.rejects(fetch(lab.instance.endpoint))
})
