import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { STSClient } from '@aws-sdk/client-sts'
import { parseAwsHost } from './endpoint.ts'
import { partitionOfRegion, partitionText, stsRegions } from './partition.ts'

suite('partitions', () => {
  for (const [region, partition] of [
    ['us-east-1', 'aws'],
    ['ap-southeast-5', 'aws'],
    ['mx-central-1', 'aws'],
    ['cn-northwest-1', 'aws-cn'],
    ['us-gov-east-1', 'aws-us-gov'],
    ['eusc-de-east-1', 'aws-eusc'],
    ['us-iso-west-1', 'aws-iso'],
    ['us-isob-east-1', 'aws-iso-b'],
    ['eu-isoe-west-1', 'aws-iso-e'],
    ['us-isof-south-1', 'aws-iso-f'],
    ['aws-global', undefined],
    ['us-gov', undefined],
    ['us-east-1.example.com', undefined],
    ['', undefined],
  ] as const) {
    test(`${JSON.stringify(region)} is of ${partition ?? 'none'}`, () => {
      assert.equal(partitionOfRegion(region), partition)
    })
  }

  test('people read their names', () => {
    assert.equal(partitionText('aws-us-gov'), 'aws-us-gov (GovCloud)')
    assert.equal(partitionText('aws-new'), 'aws-new')
  })
})

suite('the regions whose STS is asked for a role', () => {
  for (const { says, asked, partition, home, regions } of [
    {
      says: 'the one of the request, then AWS_REGION',
      asked: 'eu-west-1',
      partition: 'aws',
      home: 'us-west-2',
      regions: ['eu-west-1', 'us-west-2'],
    },
    {
      says: 'an opt-in region as any other',
      asked: 'me-south-1',
      partition: 'aws',
      home: undefined,
      regions: ['me-south-1', 'us-east-1'],
    },
    {
      says: 'one where both are the same',
      asked: 'us-west-2',
      partition: 'aws',
      home: 'us-west-2',
      regions: ['us-west-2'],
    },
    {
      says: 'AWS_REGION for a request without one',
      asked: 'aws-global',
      partition: 'aws',
      home: 'eu-west-1',
      regions: ['eu-west-1'],
    },
    {
      says: 'the first where there is no AWS_REGION',
      asked: '*',
      partition: 'aws',
      home: undefined,
      regions: ['us-east-1'],
    },
    {
      says: 'never one of another partition',
      asked: 'cn-north-1',
      partition: 'aws-us-gov',
      home: 'eu-west-1',
      regions: ['us-gov-west-1'],
    },
    {
      says: 'those of China',
      asked: 'cn-northwest-1',
      partition: 'aws-cn',
      home: 'cn-north-1',
      regions: ['cn-northwest-1', 'cn-north-1'],
    },
    {
      says: 'one of an isolated partition',
      asked: 'us-east-1',
      partition: 'aws-iso-b',
      home: undefined,
      regions: ['us-isob-east-1'],
    },
  ]) {
    test(`are ${says}`, () => assert.deepEqual(stsRegions(asked, partition, home), regions))
  }

  for (const [partition, host] of [
    ['aws', 'sts.us-east-1.amazonaws.com'],
    ['aws-cn', 'sts.cn-north-1.amazonaws.com.cn'],
    ['aws-us-gov', 'sts.us-gov-west-1.amazonaws.com'],
    ['aws-eusc', 'sts.eusc-de-east-1.amazonaws.eu'],
    ['aws-iso', 'sts.us-iso-east-1.c2s.ic.gov'],
    ['aws-iso-b', 'sts.us-isob-east-1.sc2s.sgov.gov'],
    ['aws-iso-e', 'sts.eu-isoe-west-1.cloud.adc-e.uk'],
    ['aws-iso-f', 'sts.us-isof-south-1.csp.hci.ic.gov'],
  ] as const) {
    test(`lead to ${host}, which is a host of ${partition}`, () => {
      const [region] = stsRegions('', partition)
      const client = new STSClient({ region })
      const { url } = client.config.endpointProvider({
        Region: region,
        UseFIPS: false,
        UseDualStack: false,
        UseGlobalEndpoint: false,
      })
      assert.equal(url.hostname, host)
      assert.equal(parseAwsHost(url.hostname)?.partition, partition)
    })
  }
})
