/** S3 through `tsh aws`: keys of every shape, conditions, checksums, streams, sync, presigned URLs, and Ctrl-C in the middle. */
import assert from 'node:assert/strict'
import { mkdirSync, rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { findTool, requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, link, startAwsStage } from './aws-stage.ts'

const oddKeys = [
  'a b',
  'a+b',
  'a%20b',
  'p%2Fq',
  'x//y',
  '/lead',
  'tail/',
  'dot/../x',
  './here',
  'ü/é/日本',
  'é/decomposed',
  'a?b=c&d#e',
  `q'"<>&amp;`,
  '~*()!$@,;:=',
  'back\\slash',
  '🐙',
  'x'.repeat(1024),
]

/** Puts, reads, lists and deletes each key of its input; prints what went wrong. */
const keysScript = `
import sys, json, boto3
from botocore.config import Config
keys = json.load(sys.stdin)
for style in ('virtual', 'path'):
    s3 = boto3.client('s3', config=Config(s3={'addressing_style': style}))
    for key in keys:
        s3.put_object(Bucket='odd-keys', Key=key, Body=key.encode(), Metadata={'a': 'b  c'})
        got = s3.get_object(Bucket='odd-keys', Key=key)
        if got['Body'].read() != key.encode(): print('read', style, key)
        if got['Metadata'] != {'a': 'b  c'}: print('metadata', style, key, got['Metadata'])
        s3.copy_object(Bucket='odd-keys', Key='copy', CopySource={'Bucket': 'odd-keys', 'Key': key})
        if s3.get_object(Bucket='odd-keys', Key='copy')['Body'].read() != key.encode(): print('copy', style, key)
    s3.delete_object(Bucket='odd-keys', Key='copy')
    listed = [o['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket='odd-keys', PaginationConfig={'PageSize': 3}) for o in page['Contents']]
    if sorted(listed) != sorted(keys): print('list', style, sorted(set(listed) ^ set(keys)))
    s3.delete_objects(Bucket='odd-keys', Delete={'Objects': [{'Key': key} for key in keys]})
    if s3.list_objects_v2(Bucket='odd-keys').get('KeyCount') != 0: print('delete', style)
`

const conditionsScript = `
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client('s3')
def code(call, **arguments):
    try:
        answer = call(Bucket='reports', Key='ten', **arguments)
        return answer['Body'].read().decode() if 'Body' in answer else 'ok'
    except ClientError as error:
        return error.response['Error']['Code']
etag = s3.put_object(Bucket='reports', Key='ten', Body=b'0123456789')['ETag']
get = s3.get_object
print(code(get, Range='bytes=2-4'), code(get, Range='bytes=-3'), code(get, Range='bytes=7-'), code(get, Range='bytes=10-20'))
print(code(get, IfNoneMatch=etag), code(get, IfMatch=etag), code(get, IfMatch='"other"'))
print(code(s3.put_object, Body=b'x', IfNoneMatch='*'), code(s3.put_object, Body=b'0123456789', IfMatch=etag))
s3.put_object(Bucket='reports', Key='empty', Body=b'')
print(s3.get_object(Bucket='reports', Key='empty')['ContentLength'], s3.head_object(Bucket='reports', Key='empty')['ContentLength'])
`

suite('S3 through tsh aws', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage()
    stage.lab.createBucket('odd-keys')
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login --quiet --aws-role Writer awsconsole')
    const cli = findTool('aws-v2') ?? findTool('aws')
    if (cli !== undefined) link(alice.shell, cli, 'aws')
  })
  after(() => stage[Symbol.asyncDispose]())

  test('keys of every shape arrive as they are, in both styles of address', async (t) => {
    if (requireTool(t, 'python-boto3') === undefined) return
    writeFileSync(join(alice.shell.home, 'keys.py'), keysScript)
    const { stdout } = await alice.shell.run('tsh aws --exec python-boto3 keys.py', { input: JSON.stringify(oddKeys) })
    assert.equal(stdout, '')
  })

  test('ranges, conditions and empty objects', async (t) => {
    if (requireTool(t, 'python-boto3') === undefined) return
    writeFileSync(join(alice.shell.home, 'conditions.py'), conditionsScript)
    const { stdout } = await alice.shell.run('tsh aws --exec python-boto3 conditions.py')
    assert.deepEqual(stdout.trim().split('\n'), [
      '234 789 789 InvalidRange',
      '304 0123456789 PreconditionFailed',
      'PreconditionFailed ok',
      '0 0',
    ])
  })

  for (const { tool, algorithms } of [
    { tool: 'aws-v1', algorithms: ['CRC32', 'SHA256'] },
    { tool: 'aws-v2', algorithms: ['CRC32', 'CRC32C', 'SHA1', 'SHA256'] },
  ]) {
    test(`${tool} sends the checksums ${algorithms.join(', ')}`, async (t) => {
      if (requireTool(t, tool) === undefined) return
      writeFileSync(join(alice.shell.home, 'sum'), 'checked')
      for (const algorithm of algorithms) {
        const put = `s3api put-object --bucket reports --key sum --body sum --checksum-algorithm ${algorithm}`
        const get = 's3api get-object --bucket reports --key sum --checksum-mode ENABLED sum.back'
        const query = `--query Checksum${algorithm} --output text`
        const stored = await alice.shell.run(`tsh aws --exec ${tool} ${put} ${query}`)
        const read = await alice.shell.run(`tsh aws --exec ${tool} ${get} ${query}`)
        assert.match(stored.stdout, /^\S+=*\n$/)
        assert.equal(read.stdout, stored.stdout)
      }
    })
  }

  test('a stream of unknown length goes up from stdin, and down to stdout', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const size = 20_000_000 // several parts
    await alice.shell.run(`head -c ${size} /dev/zero | tr '\\0' 'x' | tsh aws s3 cp - s3://reports/stream`)
    const { stdout } = await alice.shell.run(`tsh aws s3 cp s3://reports/stream - | sha256sum`)
    const { stdout: sent } = await alice.shell.run(`head -c ${size} /dev/zero | tr '\\0' 'x' | sha256sum`)
    assert.equal(stdout, sent)
  })

  test('sync carries what is new, and the second time nothing', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined) return
    const tree = join(alice.shell.home, 'tree')
    mkdirSync(join(tree, 'sp ace'), { recursive: true })
    // The client compares with S3's whole seconds: a file of this very second counts as newer than its upload.
    const earlier = new Date(Date.now() - 60_000)
    for (const name of ['one', 'sp ace/ü+', '100%']) {
      writeFileSync(join(tree, name), name)
      utimesSync(join(tree, name), earlier, earlier)
    }
    const first = await alice.shell.run('tsh aws s3 sync --no-progress tree s3://reports/tree')
    assert.equal(first.stdout.match(/^upload: /gm)?.length, 3)
    assert.equal((await alice.shell.run('tsh aws s3 sync --no-progress tree s3://reports/tree')).stdout, '')
    rmSync(join(tree, 'one'))
    const gone = await alice.shell.run('tsh aws s3 sync --no-progress --delete tree s3://reports/tree')
    assert.match(gone.stdout, /^delete: s3:\/\/reports\/tree\/one\n$/)
    await alice.shell.run('tsh aws s3 sync --no-progress s3://reports/tree copy')
    await alice.shell.run('diff -r tree copy')
  })

  test('a presigned URL works through the proxy, is worth nothing elsewhere, and says so', async (t) => {
    if (requireTool(t, 'aws-v2') === undefined || requireTool(t, 'curl') === undefined) return
    await stage.lab.putObject('reports', 'presigned.txt', 'signed in the query')
    const { stdout, stderr } = await alice.shell.run('tsh aws s3 presign s3://reports/presigned.txt')
    assert.match(stderr, /WARNING: this URL is signed with placeholder keys/)
    const url = stdout.trim()
    const through = await alice.shell.run(`tsh aws --exec curl --silent --show-error '${url}'`)
    assert.equal(through.stdout, 'signed in the query')
    const changed = await alice.shell.run(`tsh aws --exec curl --silent '${url.replace('presigned.txt', 'other.txt')}'`)
    assert.match(changed.stdout, /<Code>SignatureDoesNotMatch<\/Code>/)
    const elsewhere = await alice.shell.run(`curl --silent --cacert ${stage.lab.caFile} '${url}'`)
    assert.match(elsewhere.stdout, /<Code>InvalidAccessKeyId<\/Code>/)
  })

  test("somebody else's presigned URL goes to AWS as it is", async (t) => {
    if (requireTool(t, 'aws-v2') === undefined || requireTool(t, 'curl') === undefined) return
    await stage.lab.putObject('reports', 'theirs.txt', 'theirs')
    const { stdout: url } = await alice.shell.run('aws s3 presign s3://reports/theirs.txt', {
      env: stage.lab.environment(),
    })
    const { stdout } = await alice.shell.run(`tsh aws --exec curl --silent '${url.trim()}'`)
    assert.equal(stdout, 'theirs')
  })

  for (const tool of ['aws-v1', 'aws-v2']) {
    test(`Ctrl-C in an upload of ${tool} ends it, and leaves nothing hanging`, async (t) => {
      if (requireTool(t, tool) === undefined) return
      const file = join(alice.shell.home, 'interrupted')
      writeFileSync(file, '')
      truncateSync(file, 1024 ** 3)
      await using upload = alice.shell.start(
        `tsh aws --exec ${tool} s3 cp --no-progress interrupted s3://reports/never`,
      )
      const begun = stage.lab.seen.length
      while (!stage.lab.seen.slice(begun).some(({ operation }) => operation === 'UploadPart')) await wait(20)
      const code = await upload.stop('SIGINT')
      assert.notEqual(code, 0)
      assert.match(upload.output(), /cancelled: ctrl-c received/)
      assert.ok(stage.lab.seen.slice(begun).some(({ operation }) => operation === 'AbortMultipartUpload'))
      const { stdout } = await alice.shell.run('tsh aws s3api list-multipart-uploads --bucket reports --query Uploads')
      assert.match(stdout, /^(null|\[\])?\s*$/)
      const { stdout: listed } = await alice.shell.run('tsh aws s3 ls s3://reports/never', { mayFail: true })
      assert.equal(listed, '')
    })
  }
})
