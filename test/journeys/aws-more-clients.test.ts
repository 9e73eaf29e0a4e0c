/** Clients beside AWS's own command line: each lists, puts and gets through `tsh aws`. The guide "AWS clients" has what each needs. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, startAwsStage } from './aws-stage.ts'

interface Client {
  readonly tool: string
  /** Command lines; KEY, PATH (the key as a URL has it) and FILE stand in them. */
  readonly list: string
  readonly put: string
  readonly get: string
  /** How it sends bodies. */
  readonly payloadMode: RegExp
  readonly largeOperation: 'PutObject' | 'UploadPart'
}

// Its transport is not the one into which its SDK could load AWS_CA_BUNDLE.
const rclone = 'env -u AWS_CA_BUNDLE rclone --config /dev/null --retries 1 --ca-cert "$AWS_CA_BUNDLE"'
const remote = ':s3,provider=AWS,env_auth,region=us-east-1:reports'
// It reads no proxy variable.
const s3cmd = [
  'printf "[default]\\nproxy_host = 127.0.0.1\\nproxy_port = %s\\n" "$(echo $HTTPS_PROXY | cut -d: -f3)" > s3cfg;',
  's3cmd --config s3cfg --ca-certs "$AWS_CA_BUNDLE" --no-progress --region us-east-1 --multipart-chunk-size-mb 5',
].join(' ')
// It knows no file of certificates but a key store.
const java = [
  '[ -f trust.p12 ] || keytool -importcert -noprompt -alias tsh -file "$AWS_CA_BUNDLE"',
  '-keystore trust.p12 -storepass changeit 2>/dev/null;',
  'JAVA_FLAGS="-Djavax.net.ssl.trustStore=trust.p12 -Djavax.net.ssl.trustStorePassword=changeit" java-sdk-v2',
].join(' ')
const program = (tool: string): Pick<Client, 'list' | 'put' | 'get'> => ({
  list: `${tool} list reports`,
  put: `${tool} put reports KEY FILE`,
  get: `${tool} get reports KEY FILE`,
})
// It signs the path as it is written.
const curl =
  'curl -sS --fail-with-body --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD"'
const bucket = 'https://reports.s3.us-east-1.amazonaws.com'

const clients: readonly Client[] = [
  {
    tool: 'curl',
    list: `${curl} ${bucket}/?list-type=2`,
    put: `${curl} -T FILE "${bucket}/PATH"`,
    get: `${curl} -o FILE "${bucket}/PATH"`,
    payloadMode: /^UNSIGNED-PAYLOAD$/,
    largeOperation: 'PutObject',
  },
  {
    tool: 'go-minio',
    ...program('go-minio'),
    payloadMode: /^UNSIGNED-PAYLOAD$/,
    largeOperation: 'UploadPart',
  },
  {
    tool: 'go-sdk-v2',
    ...program('go-sdk-v2'),
    payloadMode: /^STREAMING-UNSIGNED-PAYLOAD-TRAILER$/,
    largeOperation: 'PutObject',
  },
  {
    tool: 'java-sdk-v2',
    ...program(java),
    payloadMode: /^STREAMING-AWS4-HMAC-SHA256-PAYLOAD/,
    largeOperation: 'PutObject',
  },
  {
    tool: 'rclone',
    list: `${rclone} lsf ${remote}`,
    put: `${rclone} --s3-upload-cutoff 5M copyto FILE ${remote}/KEY`,
    get: `${rclone} copyto ${remote}/KEY FILE`,
    payloadMode: /^(signed|UNSIGNED-PAYLOAD)$/,
    largeOperation: 'UploadPart',
  },
  {
    tool: 's3cmd',
    list: `${s3cmd} ls s3://reports`,
    put: `${s3cmd} put FILE s3://reports/KEY`,
    get: `${s3cmd} get --force s3://reports/KEY FILE`,
    payloadMode: /^signed$/,
    largeOperation: 'UploadPart',
  },
]

suite('more clients through tsh aws', () => {
  let stage: AwsStage
  let alice: Person
  const files = { small: randomBytes(1000), large: randomBytes(6 * 1024 * 1024 + 17) }
  before(async () => {
    stage = await startAwsStage()
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login --quiet --aws-role Writer awsconsole')
    for (const [name, content] of Object.entries(files)) writeFileSync(join(alice.shell.home, name), content)
  })
  after(() => stage[Symbol.asyncDispose]())

  for (const { tool, list, put, get, payloadMode, largeOperation } of clients) {
    test(`${tool} lists, puts and gets, byte for byte`, async (t) => {
      if (requireTool(t, tool) === undefined) return
      const run = (line: string, key: string, file: string): ReturnType<Person['shell']['run']> => {
        const path = key.split('/').map(encodeURIComponent).join('/')
        const words: Readonly<Record<string, string>> = { KEY: key, PATH: path, FILE: file }
        writeFileSync(
          join(alice.shell.home, 'call.sh'),
          line.replaceAll(/\b(KEY|PATH|FILE)\b/g, (word) => words[word] ?? word),
        )
        return alice.shell.run('tsh aws --exec sh call.sh')
      }
      for (const [size, content] of Object.entries(files)) {
        // A name that is written otherwise in the path of the request, and in what is signed.
        const key = `${tool}/${size}~b+c=d`
        const seen = stage.lab.seen.length
        await run(put, key, size)
        const bodies = stage.lab.seen
          .slice(seen)
          .filter(({ operation }) => operation === 'PutObject' || operation === 'UploadPart')
        assert.ok(bodies.length > 0)
        assert.equal(bodies.at(-1)?.operation, size === 'large' ? largeOperation : 'PutObject')
        for (const body of bodies) assert.match(body.payloadMode, payloadMode)
        await run(get, key, 'back')
        assert.ok(readFileSync(join(alice.shell.home, 'back')).equals(content), `${size} is not what was put`)
      }
      const { stdout } = await run(list, '', '')
      assert.match(stdout, new RegExp(tool))
    })
  }
})
