import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parseAwsHost } from '#aws/endpoint.ts'
import { refuseOtherPartition } from './aws-partition.ts'

suite('a request and the partition of the role', () => {
  const rows = [
    ['s3.us-east-1.amazonaws.com', 'aws', true],
    ['iam.amazonaws.com', 'aws', true],
    ['s3-fips.us-gov-west-1.amazonaws.com', 'aws-us-gov', true],
    ['iam.us-gov.amazonaws.com', 'aws-us-gov', true],
    ['ec2.cn-north-1.amazonaws.com.cn', 'aws-cn', true],
    ['s3.dualstack.cn-north-1.amazonaws.com.cn', 'aws-cn', true],
    ['s3.us-isob-east-1.sc2s.sgov.gov', 'aws-iso-b', true],
    ['s3.us-east-1.amazonaws.com', 'aws-us-gov', false],
    ['s3.us-gov-west-1.amazonaws.com', 'aws', false],
    ['sts.cn-north-1.amazonaws.com.cn', 'aws', false],
    ['sts.amazonaws.com', 'aws-cn', false],
  ] as const
  for (const [host, partition, fits] of rows) {
    test(`a role of ${partition} ${fits ? 'may be used' : 'cannot be used'} at ${host}`, () => {
      const endpoint = parseAwsHost(host) ?? assert.fail('not AWS')
      const refusal = refuseOtherPartition({ endpoint }, `arn:${partition}:iam::123456789012:role/Reader`)
      assert.equal(refusal === undefined, fits)
      if (refusal !== undefined)
        assert.match(refusal.message, new RegExp(`^${host} is a host of AWS partition .* your role is of ${partition}`))
    })
  }
})
