/** The lab as the stock JavaScript SDK sees it, through `proxyEnv` and a CA file. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import https from 'node:https'
import { Readable } from 'node:stream'
import { after, before, suite, test } from 'node:test'
import {
  DescribeInstancesCommand,
  DescribeRegionsCommand,
  DescribeSecurityGroupsCommand,
  EC2Client,
  paginateDescribeInstances,
  StopInstancesCommand,
} from '@aws-sdk/client-ec2'
import {
  AddRoleToInstanceProfileCommand,
  AttachRolePolicyCommand,
  CreateRoleCommand,
  DeleteRoleCommand,
  GetRoleCommand,
  IAMClient,
  ListRolesCommand,
  PutRolePolicyCommand,
  paginateListRoles,
} from '@aws-sdk/client-iam'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  paginateListObjectsV2,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { type AwsLab, startAwsLab } from './cloud.ts'
import type { LabIdentity } from './lab-environment.ts'

let lab: AwsLab
let agent: https.Agent
before(async () => {
  lab = await startAwsLab({ buckets: ['reports'] })
  agent = new https.Agent({ keepAlive: true, proxyEnv: { HTTPS_PROXY: lab.egressUrl }, ca: lab.egress.caPem })
})
after(async () => {
  agent.destroy()
  await lab[Symbol.asyncDispose]()
})

function settings(identity?: LabIdentity, region = lab.region) {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    AWS_SESSION_TOKEN: sessionToken,
  } = lab.environment(identity)
  const credentials = { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) }
  return { region, credentials, maxAttempts: 1, requestHandler: new NodeHttpHandler({ httpsAgent: agent }) }
}
const reader: LabIdentity = { role: 'ExampleReadOnlyAccess' }
const Bucket = 'reports'
const md5 = (data: Uint8Array | string): string => createHash('md5').update(data).digest('hex')

suite('S3', () => {
  let s3: S3Client
  before(() => {
    s3 = new S3Client(settings())
  })
  const read = async (Key: string, more = {}): Promise<Buffer> => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key, ...more }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }

  const uploads: readonly { says: string; input: () => Partial<PutObjectCommandInput> }[] = [
    { says: 'a text', input: () => ({ Body: 'hello' }) },
    { says: 'nothing', input: () => ({ Body: '' }) },
    {
      says: 'a stream with a trailing checksum',
      input: () => ({
        Body: Readable.from([Buffer.alloc(100_000, 'x'), Buffer.alloc(3, 'y')], { objectMode: false }),
        ContentLength: 100_003,
      }),
    },
    {
      says: 'bytes with a Content-MD5',
      input: () => ({ Body: 'hello', ContentMD5: createHash('md5').update('hello').digest('base64') }),
    },
    ...(['CRC32', 'CRC32C', 'SHA1', 'SHA256'] as const).map((ChecksumAlgorithm) => ({
      says: `bytes with ${ChecksumAlgorithm}`,
      input: () => ({ Body: Buffer.alloc(70_000, 'z'), ChecksumAlgorithm }),
    })),
  ]
  for (const { says, input } of uploads) {
    test(`keeps ${says}, and gives it back with its checksum`, async () => {
      const { ETag } = await s3.send(
        new PutObjectCommand({
          Bucket,
          Key: `kept/${says}`,
          ContentType: 'text/plain',
          Metadata: { owner: 'alice' },
          ...input(),
        }),
      )
      assert.equal(ETag, `"${md5(await read(`kept/${says}`, { ChecksumMode: 'ENABLED' }))}"`)
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: `kept/${says}` }))
      assert.deepEqual(
        [head.ContentType, head.Metadata, head.ContentEncoding],
        ['text/plain', { owner: 'alice' }, undefined],
      )
    })
  }

  test('refuses a wrong Content-MD5 and a wrong checksum', async () => {
    const put = (input: Partial<PutObjectCommandInput>) =>
      s3.send(new PutObjectCommand({ Bucket, Key: 'bad', Body: 'hello', ...input }))
    await assert.rejects(put({ ContentMD5: Buffer.alloc(16).toString('base64') }), { name: 'BadDigest' })
    await assert.rejects(put({ ChecksumCRC32C: 'AAAAAA==' }), { name: 'BadDigest' })
    await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'bad' })), { name: 'NotFound' })
  })

  test('lists in pages, with prefix and delimiter', async () => {
    for (const key of ['l/a', 'l/b/1', 'l/b/2', 'l/c', 'l/d/1', 'm', 'l/é ü+&<']) await lab.putObject(Bucket, key, key)
    const pages = []
    for await (const page of paginateListObjectsV2(
      { client: s3, pageSize: 2 },
      { Bucket, Prefix: 'l/', Delimiter: '/' },
    )) {
      pages.push([
        ...(page.Contents ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
      ])
    }
    assert.deepEqual(pages, [['l/a', 'l/b/'], ['l/c', 'l/d/'], ['l/é ü+&<']])
    const old = await s3.send(new ListObjectsCommand({ Bucket, Prefix: 'l/', Marker: 'l/c', MaxKeys: 1 }))
    assert.deepEqual([old.Contents?.[0]?.Key, old.IsTruncated], ['l/d/1', true])
    const encoded = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'l/é', EncodingType: 'url' }))
    assert.equal(encoded.Contents?.[0]?.Key, 'l/%C3%A9%20%C3%BC%2B%26%3C')
    await assert.rejects(s3.send(new ListObjectsV2Command({ Bucket, ContinuationToken: 'made-up' })), {
      name: 'InvalidArgument',
    })
  })

  test('gives ranges and honours conditions', async () => {
    await lab.putObject(Bucket, 'range', '0123456789')
    assert.equal(String(await read('range', { Range: 'bytes=2-4' })), '234')
    assert.equal(String(await read('range', { Range: 'bytes=-3' })), '789')
    assert.equal(String(await read('range', { Range: 'bytes=8-99' })), '89')
    await assert.rejects(read('range', { Range: 'bytes=10-' }), { name: 'InvalidRange' })
    const ETag = `"${md5('0123456789')}"`
    await assert.rejects(read('range', { IfNoneMatch: ETag }), ({ $metadata }) => $metadata.httpStatusCode === 304)
    await assert.rejects(read('range', { IfMatch: '"other"' }), { name: 'PreconditionFailed' })
    await assert.rejects(s3.send(new PutObjectCommand({ Bucket, Key: 'range', Body: '', IfNoneMatch: '*' })), {
      name: 'PreconditionFailed',
    })
  })

  for (const ChecksumAlgorithm of ['CRC32', 'SHA256'] as const) {
    test(`puts the parts of an upload together, with ${ChecksumAlgorithm}`, async () => {
      const Key = `parts-${ChecksumAlgorithm}`
      const parts = [randomBytes(5 * 1024 * 1024), randomBytes(1000)]
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm }))
      const Parts = []
      for (const [index, Body] of parts.entries()) {
        const PartNumber = index + 1
        const { ETag, ChecksumCRC32, ChecksumSHA256 } = await s3.send(
          new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm }),
        )
        Parts.push({ PartNumber, ETag, ChecksumCRC32, ChecksumSHA256 })
      }
      const listed = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId }))
      assert.deepEqual(
        listed.Parts?.map(({ Size }) => Size),
        parts.map(({ length }) => length),
      )
      const backwards = new CompleteMultipartUploadCommand({
        Bucket,
        Key,
        UploadId,
        MultipartUpload: { Parts: Parts.toReversed() },
      })
      await assert.rejects(s3.send(backwards), { name: 'InvalidPartOrder' })
      const { ETag } = await s3.send(
        new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
      )
      assert.match(ETag ?? '', /-2"$/)
      assert.equal(md5(await read(Key)), md5(Buffer.concat(parts)))
      assert.deepEqual(
        await read(Key, { Range: `bytes=${parts[0]!.length - 2}-${parts[0]!.length + 1}` }),
        Buffer.concat([parts[0]!.subarray(-2), parts[1]!.subarray(0, 2)]),
      )
    })
  }

  test('copies, and deletes several objects at once', async () => {
    await lab.putObject(Bucket, 'from', 'copied')
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: `${Bucket}/from` }))
    assert.equal(String(await read('to')), 'copied')
    lab.createBucket('far-away', { region: 'eu-west-1' })
    await lab.putObject('far-away', 'from', 'from another region')
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'to', CopySource: 'far-away/from' }))
    assert.equal(String(await read('to')), 'from another region')
    const { Deleted } = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'from' }, { Key: 'to' }, { Key: 'never' }] } }),
    )
    assert.equal(Deleted?.length, 3)
    await assert.rejects(read('to'), { name: 'NoSuchKey' })
  })

  test('sends a client to the region of the bucket', async () => {
    const west = new S3Client(settings({}, 'eu-west-1'))
    await west.send(
      new CreateBucketCommand({ Bucket: 'in-ireland', CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } }),
    )
    assert.equal(
      (await west.send(new GetBucketLocationCommand({ Bucket: 'in-ireland' }))).LocationConstraint,
      'eu-west-1',
    )
    await assert.rejects(s3.send(new ListObjectsV2Command({ Bucket: 'in-ireland' })), { name: 'PermanentRedirect' })
    const following = new S3Client({ ...settings(), followRegionRedirects: true })
    assert.equal((await following.send(new ListObjectsV2Command({ Bucket: 'in-ireland' }))).KeyCount, 0)
    await west.send(new DeleteBucketCommand({ Bucket: 'in-ireland' }))
    await assert.rejects(west.send(new HeadBucketCommand({ Bucket: 'in-ireland' })), { name: 'NotFound' })
  })

  test('refuses to write for a role that may only read, in the words of S3', async () => {
    const reading = new S3Client(settings(reader))
    assert.ok((await reading.send(new ListBucketsCommand({}))).Buckets?.some(({ Name }) => Name === Bucket))
    const message =
      'User: arn:aws:sts::123456789012:assumed-role/ExampleReadOnlyAccess/lab is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::reports/x" because no identity-based policy allows the s3:PutObject action'
    await assert.rejects(reading.send(new PutObjectCommand({ Bucket, Key: 'x', Body: 'x' })), {
      name: 'AccessDenied',
      message,
    })
  })

  test('tells whether a key exists only to who may list', async () => {
    const account = lab.account()
    account.createUser('blind').inline.set(
      'get',
      (await import('./policy.ts')).parsePolicy(
        JSON.stringify({
          Version: '2012-10-17',
          Statement: [{ Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::reports/*' }],
        }),
        'identity',
      ),
    )
    const blind = new S3Client(settings({ user: 'blind' }))
    await assert.rejects(blind.send(new GetObjectCommand({ Bucket, Key: 'never' })), { name: 'AccessDenied' })
    await assert.rejects(s3.send(new GetObjectCommand({ Bucket, Key: 'never' })), { name: 'NoSuchKey' })
  })
})

suite('EC2', () => {
  test('describes instances in pages, and by filter', async () => {
    const ec2 = new EC2Client(settings(reader))
    for (let index = 0; index < 7; index++) lab.addInstance({ tags: { Name: `n${index}` } })
    const pages = []
    for await (const { Reservations } of paginateDescribeInstances({ client: ec2, pageSize: 5 }, {}))
      pages.push(Reservations?.length)
    assert.deepEqual(pages, [5, 2])
    const one = await ec2.send(new DescribeInstancesCommand({ Filters: [{ Name: 'tag:Name', Values: ['n3'] }] }))
    assert.equal(one.Reservations?.length, 1)
    await assert.rejects(ec2.send(new DescribeInstancesCommand({ InstanceIds: ['i-0123456789abcdef0'] })), {
      name: 'InvalidInstanceID.NotFound',
    })
    assert.ok(
      (await ec2.send(new DescribeRegionsCommand({}))).Regions?.some(({ RegionName }) => RegionName === 'eu-west-1'),
    )
    assert.equal((await ec2.send(new DescribeSecurityGroupsCommand({}))).SecurityGroups?.[0]?.GroupName, 'default')
  })
  test('refuses and tries out in the words of EC2', async () => {
    const InstanceIds = [lab.addInstance().id]
    const message =
      /^You are not authorized to perform this operation\. User: \S+ is not authorized to perform: ec2:StopInstances on resource: \S+ because no identity-based policy allows the ec2:StopInstances action$/
    await assert.rejects(new EC2Client(settings(reader)).send(new StopInstancesCommand({ InstanceIds })), {
      name: 'UnauthorizedOperation',
      message,
    })
    await assert.rejects(new EC2Client(settings()).send(new StopInstancesCommand({ InstanceIds, DryRun: true })), {
      name: 'DryRunOperation',
    })
  })
})

suite('IAM', () => {
  test('what is created is what is enforced', async () => {
    const iam = new IAMClient(settings())
    const AssumeRolePolicyDocument = JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal: { AWS: '123456789012' }, Action: 'sts:AssumeRole' }],
    })
    const { Role } = await iam.send(new CreateRoleCommand({ RoleName: 'Made', AssumeRolePolicyDocument }))
    await iam.send(
      new AttachRolePolicyCommand({ RoleName: 'Made', PolicyArn: 'arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess' }),
    )
    const { Credentials } = await new STSClient(settings()).send(
      new AssumeRoleCommand({ RoleArn: Role?.Arn, RoleSessionName: 'made' }),
    )
    const credentials = {
      accessKeyId: Credentials!.AccessKeyId!,
      secretAccessKey: Credentials!.SecretAccessKey!,
      sessionToken: Credentials!.SessionToken!,
    }
    await new S3Client({ ...settings(), credentials }).send(new ListBucketsCommand({}))
    await assert.rejects(new EC2Client({ ...settings(), credentials }).send(new DescribeInstancesCommand({})), {
      name: 'UnauthorizedOperation',
    })
    const { Role: shown } = await iam.send(new GetRoleCommand({ RoleName: 'Made' }))
    assert.equal(decodeURIComponent(shown?.AssumeRolePolicyDocument ?? ''), AssumeRolePolicyDocument)
  })
  test('refuses what IAM refuses', async () => {
    const iam = new IAMClient(settings())
    const RoleName = 'ExampleReadOnlyAccess'
    await assert.rejects(iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: '{}' })), {
      name: 'EntityAlreadyExistsException',
    })
    await assert.rejects(iam.send(new CreateRoleCommand({ RoleName: 'New', AssumeRolePolicyDocument: '{}' })), {
      name: 'MalformedPolicyDocumentException',
    })
    await assert.rejects(iam.send(new PutRolePolicyCommand({ RoleName, PolicyName: 'x', PolicyDocument: '[]' })), {
      name: 'MalformedPolicyDocumentException',
    })
    await assert.rejects(iam.send(new DeleteRoleCommand({ RoleName })), { name: 'DeleteConflictException' })
    await assert.rejects(iam.send(new GetRoleCommand({ RoleName: 'Nobody' })), { name: 'NoSuchEntityException' })
    await assert.rejects(new IAMClient(settings(reader)).send(new DeleteRoleCommand({ RoleName })), {
      name: 'AccessDenied',
    })
  })
  test('handing a role to an instance takes a permission of its own', async () => {
    const iam = new IAMClient(settings())
    const statement = (Resource: string, Condition?: object): object => ({
      Effect: 'Allow',
      Action: ['iam:AddRoleToInstanceProfile', 'iam:PassRole'],
      Resource,
      Condition,
    })
    const RoleName = 'Passer'
    const document = (...Statement: object[]): string => JSON.stringify({ Version: '2012-10-17', Statement })
    lab.account().createRole({
      name: RoleName,
      trust: document({ Effect: 'Allow', Principal: { AWS: '123456789012' }, Action: 'sts:AssumeRole' }),
    })
    lab.account().createInstanceProfile('Other')
    const add = () =>
      new IAMClient(settings({ role: RoleName })).send(
        new AddRoleToInstanceProfileCommand({ InstanceProfileName: 'Other', RoleName }),
      )
    const put = (PolicyDocument: string) =>
      iam.send(new PutRolePolicyCommand({ RoleName, PolicyName: 'pass', PolicyDocument }))
    await put(document(statement('arn:aws:iam::123456789012:instance-profile/*')))
    await assert.rejects(add(), {
      name: 'AccessDenied',
      message: /not authorized to perform: iam:PassRole on resource: arn:aws:iam::123456789012:role\/Passer/,
    })
    await put(
      document(
        statement('arn:aws:iam::123456789012:instance-profile/*'),
        statement('*', { StringEquals: { 'iam:PassedToService': 'ec2.amazonaws.com' } }),
      ),
    )
    await add()
  })
  test('lists in pages', async () => {
    const iam = new IAMClient(settings(reader))
    const all = await iam.send(new ListRolesCommand({}))
    const names = []
    for await (const { Roles } of paginateListRoles({ client: iam, pageSize: 1 }, {}))
      names.push(...(Roles ?? []).map(({ RoleName }) => RoleName))
    assert.deepEqual(
      names,
      all.Roles?.map(({ RoleName }) => RoleName),
    )
  })
})

test('faults strike as often as they were ordered', async () => {
  const s3 = new S3Client({ ...settings(), maxAttempts: 1 })
  using _slow = lab.inject({ service: 's3', operation: 'ListBuckets', status: 503, code: 'SlowDown', times: 1 })
  using _reset = lab.inject({ service: 's3', operation: 'ListBuckets', reset: true, times: 1 })
  await assert.rejects(s3.send(new ListBucketsCommand({})), { name: 'SlowDown' })
  await assert.rejects(s3.send(new ListBucketsCommand({})), { code: 'ECONNRESET' })
  await s3.send(new ListBucketsCommand({}))
  await lab.putObject(Bucket, 'cut', '0123456789')
  using _cut = lab.inject({ operation: 'GetObject', cutAfterBytes: 4, times: 1 })
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'cut' }))
  await assert.rejects(Body!.transformToString(), { code: 'ECONNRESET' })
})
