import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { coversAwsHost, isSessionManagerHost, mayBeSignedFor, parseAwsHost } from './endpoint.ts'

suite('hosts of AWS', () => {
  for (const [host, partition, service, region, prefix] of [
    ['sts.amazonaws.com', 'aws', 'sts', undefined, undefined],
    ['STS.us-east-1.amazonaws.com.:443', 'aws', 'sts', 'us-east-1', undefined],
    ['s3.dualstack.eu-west-1.amazonaws.com', 'aws', 's3', 'eu-west-1', undefined],
    ['my.bucket.s3.eu-west-1.amazonaws.com', 'aws', 's3', 'eu-west-1', 'my.bucket'],
    ['bucket.s3.amazonaws.com', 'aws', 's3', undefined, 'bucket'],
    ['data.us-east-1.s3.amazonaws.com', 'aws', 's3', undefined, 'data.us-east-1'],
    ['dualstack.fips.s3.dualstack.eu-west-1.amazonaws.com', 'aws', 's3', 'eu-west-1', 'dualstack.fips'],
    ['constructor.us-east-1.amazonaws.com', 'aws', 'constructor', 'us-east-1', undefined],
    ['bucket.s3-us-west-2.amazonaws.com', 'aws', 's3', 'us-west-2', 'bucket'],
    ['bucket.s3-fips.dualstack.us-gov-west-1.amazonaws.com', 'aws-us-gov', 's3', 'us-gov-west-1', 'bucket'],
    ['iam.us-gov.amazonaws.com', 'aws-us-gov', 'iam', 'us-gov', undefined],
    ['ec2.cn-north-1.amazonaws.com.cn', 'aws-cn', 'ec2', 'cn-north-1', undefined],
    ['ec2.cn-north-1.api.amazonwebservices.com.cn', 'aws-cn', 'ec2', 'cn-north-1', undefined],
    ['ec2.us-east-1.api.aws', 'aws', 'ec2', 'us-east-1', undefined],
    ['eks-fips.us-east-1.api.aws', 'aws', 'eks', 'us-east-1', undefined],
    ['abc.lambda-url.us-east-1.on.aws', 'aws', 'lambda-url', 'us-east-1', 'abc'],
    ['sts.eusc-de-east-1.amazonaws.eu', 'aws-eusc', 'sts', 'eusc-de-east-1', undefined],
    ['s3.us-iso-east-1.c2s.ic.gov', 'aws-iso', 's3', 'us-iso-east-1', undefined],
    ['s3.us-isob-east-1.sc2s.sgov.gov', 'aws-iso-b', 's3', 'us-isob-east-1', undefined],
    ['abc123.execute-api.us-east-1.amazonaws.com', 'aws', 'execute-api', 'us-east-1', 'abc123'],
    ['search-x-abc.us-east-1.es.amazonaws.com', 'aws', 'es', 'us-east-1', 'search-x-abc'],
    ['vpce-1a2b-3c.ec2.us-east-1.vpce.amazonaws.com', 'aws', 'ec2', 'us-east-1', undefined],
    ['bucket.vpce-1a2b-3c.s3.us-east-1.vpce.amazonaws.com', 'aws', 's3', 'us-east-1', undefined],
    ['mine.bucket.vpce-1a2b-3c.s3.us-east-1.vpce.amazonaws.com', 'aws', 's3', 'us-east-1', 'mine'],
    ['api.ecr.us-east-1.amazonaws.com', 'aws', 'ecr', 'us-east-1', 'api'],
    ['ingest-cell1.timestream.us-east-1.amazonaws.com', 'aws', 'timestream', 'us-east-1', 'ingest-cell1'],
    ['eks.us-west-2.amazonaws.com', 'aws', 'eks', 'us-west-2', undefined],
    ['us-west-2.queue.amazonaws.com', 'aws', 'sqs', 'us-west-2', undefined],
  ] as const) {
    test(`${host} is ${service} of ${partition}`, () => {
      const { host: name, ...found } = parseAwsHost(host) ?? assert.fail('not AWS')
      assert.equal(name, host.toLowerCase().replace(/\.?(:\d+)?$/, ''))
      const expected = { partition, service, region, prefix }
      assert.deepEqual(found, Object.fromEntries(Object.entries(expected).filter(([, value]) => value !== undefined)))
    })
  }

  for (const host of [
    'x.amazonaws.com.example.net',
    'notamazonaws.com',
    'example.com',
    'amazonaws.com',
    'console.aws.amazon.com',
    'signin.aws.amazon.com',
    'sts.amazonaws.com@example.com',
    'sts.amazonaws.com/x',
    'sts.amazonaws.com:0',
    'sts.amazonaws.com:99999',
    'sts..amazonaws.com',
    'mine-123.us-east-1.elb.amazonaws.com',
    'ec2-1-2-3-4.compute-1.amazonaws.com',
    'ec2-1-2-3-4.eu-west-1.compute.amazonaws.com',
    'bucket.s3-website-us-east-1.amazonaws.com',
    'db.abc.us-east-1.rds.amazonaws.com',
    'A1B2C3.gr7.us-east-1.eks.amazonaws.com',
    'A1B2C3.yl4.cn-north-1.eks.amazonaws.com.cn',
    'oidc.eks.us-west-2.amazonaws.com',
    'oidc-eks.us-west-2.api.aws',
    '123456789012.dkr.ecr.us-east-1.amazonaws.com',
    '123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com',
    '123456789012.dkr-ecr.us-east-1.on.aws',
    '127.0.0.1',
    '[::1]:443',
    '',
  ]) {
    test(`${host || 'nothing'} is no API of AWS`, () => assert.equal(parseAwsHost(host), undefined))
  }

  for (const [host, signingName, answer] of [
    ['sts.us-east-1.amazonaws.com', 'sts', true],
    ['sts.us-east-1.amazonaws.com', 'iam', false],
    ['s3.amazonaws.com', 'sts', false],
    ['s3.amazonaws.com', 'STS', false],
    ['abc.execute-api.us-east-1.amazonaws.com', 'execute-api', true],
    ['abc.execute-api.us-east-1.amazonaws.com', 'sts', false],
    ['abc.execute-api.us-east-1.amazonaws.com', 's3', false],
    ['abc.lambda-url.us-east-1.on.aws', 'lambda', true],
    ['abc.lambda-url.us-east-1.on.aws', 'ec2', false],
    ['abc.appsync-api.us-east-1.amazonaws.com', 'appsync', true],
    ['id.7d67968.vpc-lattice-svcs.us-east-1.on.aws', 'vpc-lattice-svcs', true],
    ['abc.ecs.us-east-1.on.aws', 's3', false],
    ['email.us-east-1.amazonaws.com', 'ses', true],
    ['api.ecr.us-east-1.amazonaws.com', 'ecr', true],
  ] as const) {
    test(`${host} ${answer ? 'may' : 'may not'} have a signature for ${signingName}`, () => {
      assert.equal(mayBeSignedFor(parseAwsHost(host) ?? assert.fail('not AWS'), signingName), answer)
    })
  }

  test('only the message channels of Session Manager are its own', () => {
    for (const name of ['ssmmessages', 'ec2messages', 'ssmmessages-fips']) {
      assert.equal(isSessionManagerHost(`${name}.us-east-1.amazonaws.com:443`), true)
    }
    assert.equal(isSessionManagerHost('vpce-1-2.ssmmessages.us-east-1.vpce.amazonaws.com'), true)
    assert.equal(isSessionManagerHost('ssm.us-east-1.amazonaws.com'), false)
    assert.equal(isSessionManagerHost('ssmmessages.example.com'), false)
  })

  for (const [domain, answer] of [
    ['*', true],
    ['com', true],
    ['.amazonaws.com', true],
    ['*.amazonaws.com', true],
    ['us-east-1.amazonaws.com', true],
    ['s3.amazonaws.com', true],
    ['api.aws', true],
    ['ssmmessages.us-east-1.amazonaws.com', false],
    ['elb.amazonaws.com', false],
    ['aws.amazon.com', false],
    ['example.com', false],
    ['169.254.169.254', false],
    ['localhost', false],
  ] as const) {
    test(`${domain} ${answer ? 'covers' : 'does not cover'} an API of AWS`, () =>
      assert.equal(coversAwsHost(domain), answer))
  }

  test('any text is a host of AWS or not, and then ends in one of its suffixes', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.domain(),
          fc.domain().map((name) => `${name}.amazonaws.com`),
        ),
        (text) => {
          const found = parseAwsHost(text)
          if (found !== undefined) assert.match(found.host, /\.(amazonaws\.(com|com\.cn|eu)|aws|cn|eu|gov|scloud|uk)$/)
        },
      ),
    )
  })
})
