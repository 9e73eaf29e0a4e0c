import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseApp } from '#resources/app.ts'
import { partitionMismatch } from './aws-partition.ts'

suite("a role and the app's partition", () => {
  const rows = [
    ['https://console.aws.amazon.com/', 'aws', true],
    ['https://eu-west-1.console.aws.amazon.com/', 'aws', true],
    ['https://console.aws.amazon.com/', 'aws-us-gov', false],
    ['https://console.amazonaws-us-gov.com/', 'aws-us-gov', true],
    ['https://console.amazonaws-us-gov.com/', 'aws', false],
    ['https://console.amazonaws.cn/', 'aws-cn', true],
    ['https://console.amazonaws.cn/', 'aws', false],
    ['', 'aws-iso', true],
  ] as const
  for (const [uri, partition, fits] of rows) {
    test(`${partition} ${fits ? 'fits' : 'does not fit'} ${uri || 'an app without a console'}`, () => {
      const app = parseApp({ metadata: { name: 'a' }, spec: { uri, cloud: 'AWS' } })
      const found = partitionMismatch(app, `arn:${partition}:iam::123456789012:role/Reader`)
      assert.equal(found === undefined, fits)
    })
  }

  test('the text names both partitions', () => {
    const app = parseApp({ metadata: { name: 'china' }, spec: { uri: 'https://console.amazonaws.cn/' } })
    assert.deepEqual(partitionMismatch(app, 'arn:aws-us-gov:iam::123456789012:role/Reader'), {
      message:
        'arn:aws-us-gov:iam::123456789012:role/Reader is a role of AWS partition aws-us-gov (GovCloud), and app "china" is of aws-cn (China)',
      hint: 'choose a role whose ARN begins with "arn:aws-cn:" for this app, or the app of partition aws-us-gov',
    })
  })
})
