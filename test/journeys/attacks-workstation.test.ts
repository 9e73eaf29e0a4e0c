/** What programs, other people of the machine, agents and clusters try at the workstation: its proxy, files and terminal. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmod, lstat, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { after, before, suite, test } from 'node:test'
import tls from 'node:tls'
import { forwarding } from '#aws/forwarding.ts'
import { signRequest } from '#aws/sigv4.ts'
import { memoryTerminal } from '#cli/memory-terminal.ts'
import { printable } from '#cli/report-error.ts'
import { encodedPathComponent, pathComponent, writePrivateFile } from '#client/private-file.ts'
import { connectTo, send, setUp, sign } from '#local-proxy/aws-proxy-site.ts'
import { createLocalCa } from '#local-proxy/local-ca.ts'
import { generateKeyPair, privateKeyPem } from '#pki/key.ts'
import { parseDocuments } from '#resources/parse.ts'
import { showTotpSecret } from '#tsh/new-secrets.ts'

let dir: string
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'attacks-'))
})
after(() => rm(dir, { recursive: true }))

const HOST = 'sts.us-east-1.amazonaws.com'

suite('the local proxy', () => {
  for (const { says, change } of [
    {
      says: 'no signature of ours',
      change: (headers: string[]) => headers.map((value) => value.replace(/PLACEHOLDER\w+/, 'AKIAIOSFODNN7EXAMPLE')),
    },
    {
      says: 'a changed signature',
      change: (headers: string[]) => headers.map((value) => value.replace(/Signature=.{4}/, 'Signature=0000')),
    },
    {
      says: 'a header that was signed otherwise',
      change: (headers: string[]) => headers.map((value) => (value === 'signed' ? 'changed' : value)),
    },
    {
      says: 'two signatures',
      change: (headers: string[]) => [...headers, 'authorization', headers[headers.indexOf('Authorization') + 1] ?? ''],
    },
    {
      says: 'another host than it was signed for',
      change: (headers: string[]) => headers.map((value) => (value === HOST ? 'iam.amazonaws.com' : value)),
    },
    {
      says: 'a host that is not of AWS',
      change: (headers: string[]) => headers.map((value) => (value === HOST ? 'attacker.example' : value)),
    },
    {
      says: 'loopback for a host',
      change: (headers: string[]) => headers.map((value) => (value === HOST ? '127.0.0.1' : value)),
    },
  ]) {
    test(`sends nothing on that has ${says}`, async () => {
      await using site = await setUp()
      const credentials = site.proxy.credentialsOf('awsconsole')
      const headers = sign(credentials, { headers: ['X-Amz-Meta-A', 'signed'] }).headers
      const { status } = await send(site, { headers: change([...headers]) })
      assert.ok(status >= 400, String(status))
      assert.deepEqual(site.seen, [])
    })
  }

  test('sends nothing on that was signed an hour ago', async () => {
    await using site = await setUp()
    const { headers } = signRequest({
      request: { method: 'GET', path: '/', query: '', headers: ['Host', HOST] },
      credentials: site.proxy.credentialsOf('awsconsole'),
      ...{ region: 'us-east-1', service: 'sts', at: new Date(Date.now() - 3_600_000), payloadHash: 'UNSIGNED-PAYLOAD' },
    })
    assert.equal((await send(site, { headers })).status, 403)
    assert.deepEqual(site.seen, [])
  })

  test('says to the agent what it found, whatever the client says', async () => {
    await using site = await setUp()
    const forged = [
      ...['X-Forwarded-Host', 'attacker.example', 'x-FORWARDED-host', 'attacker.example', 'X-Real-IP', '10.0.0.1'],
      ...['X-Teleport-Aws-Payload-Hash', 'UNSIGNED-PAYLOAD', 'X-TELEPORT-AWS-PAYLOAD-MODE', 'signed-chunks'],
      ...['X-Teleport-Aws-Presigned', '1', 'X-Teleport-Aws-Trailer', 'x', 'Connection', 'x-forwarded-host, x-amz-date'],
    ]
    const { headers } = sign(site.proxy.credentialsOf('awsconsole'), {})
    assert.equal((await send(site, { headers: [...headers, ...forged] })).status, 200)
    const [seen] = site.seen
    const values = (name: string): string[] =>
      (seen?.headers ?? []).filter((_, index, all) => index % 2 === 1 && all[index - 1]?.toLowerCase() === name)
    assert.deepEqual(values(forwarding.host), [HOST])
    assert.deepEqual(values(forwarding.payloadMode), ['whole'])
    assert.equal(values(forwarding.payloadHash).length, 1)
    assert.deepEqual([...values(forwarding.presigned), ...values(forwarding.trailer), ...values('x-real-ip')], [])
  })

  for (const target of [
    '127.0.0.1:0',
    'localhost',
    ':443',
    'a b:443',
    'evil\u0000:443',
    '[::1',
    'x:99999',
    `${'a'.repeat(300)}:443`,
  ]) {
    test(`opens nothing to ${JSON.stringify(target.slice(0, 20))}`, async () => {
      await using site = await setUp()
      await assert.rejects(connectTo(site.proxy, target))
    })
  }

  test('lets no agent write to the terminal, or to the client behind our back', async () => {
    await using site = await setUp({
      answer: (_request, response) => {
        response.setHeader('x-teleport-api-error', encodeURIComponent('\u001b]0;owned\u0007\nERROR: forged\u202e'))
        response.setHeader('x-teleport-aws-issued-key', 'AKIA:short')
        response.setHeader('x-teleport-anything', 'x')
        response.end('done')
      },
    })
    const { headers } = sign(site.proxy.credentialsOf('awsconsole'), {})
    const reply = await send(site, { headers })
    assert.equal(/[\p{Cc}\p{Cf}]/u.test(site.notices[0]?.text ?? '\n'), false)
    assert.doesNotMatch(reply.headers.join(), /x-teleport/i)
  })
})

suite('the authority of the local proxy', () => {
  const ca = createLocalCa({
    loginKeyPem: privateKeyPem(generateKeyPair().privateKey),
    clock: () => new Date(),
  })
  async function shakeHands(host: string): Promise<string> {
    const [near, far] = duplexPair()
    const server = new tls.TLSSocket(far, { isServer: true, secureContext: ca.contextFor(host) })
    server.on('error', () => {})
    const client = tls.connect({ socket: near, servername: host, ca: [ca.certificatePem] })
    try {
      await once(client, 'secureConnect')
      return 'trusted'
    } catch (error) {
      return String(error)
    } finally {
      client.destroy()
      server.destroy()
    }
  }

  for (const host of ['sts.us-east-1.amazonaws.com', 'bucket.s3.eu-west-1.amazonaws.com', 'ec2.us-east-1.api.aws']) {
    test(`stands in for ${host}`, async () => assert.equal(await shakeHands(host), 'trusted'))
  }
  for (const host of ['bank.example', 'amazonaws.com.evil.example', 'evilamazonaws.com', 'console.aws.amazon.com']) {
    test(`does not stand in for ${host}, whoever has its key`, async () => {
      assert.match(await shakeHands(host), /permitted subtree violation/)
    })
  }
})

suite('files of a login', () => {
  test('are for their owner alone, and a link in their place is not followed', async () => {
    const victim = join(dir, 'victim')
    await writeFile(victim, 'mine')
    await chmod(victim, 0o644)
    const path = join(dir, 'keys', 'a.key')
    await writePrivateFile(path, 'first')
    await rm(path)
    await symlink(victim, path)
    await writePrivateFile(path, 'secret')
    assert.equal(await readFile(victim, 'utf8'), 'mine')
    assert.equal((await lstat(path)).isSymbolicLink(), false)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    assert.equal((await stat(join(dir, 'keys'))).mode & 0o777, 0o700)
  })

  for (const name of ['..', '.', '', 'a/b', '../../.ssh/authorized_keys', 'a\\b', 'a\u0000b', 'x'.repeat(300)]) {
    test(`are not put elsewhere by the name ${JSON.stringify(name.slice(0, 30))}`, () => {
      assert.throws(() => pathComponent(name))
      if (name === '' || name.length > 200) assert.throws(() => encodedPathComponent(name))
      else assert.doesNotMatch(encodedPathComponent(name), /^\.{1,2}$|[/\\\p{Cc}]/u)
    })
  }
})

suite('what a cluster says', () => {
  test('does not steer the terminal', async () => {
    const terminal = memoryTerminal()
    await showTotpSecret(terminal.stdout, { secret: 'A\u001b[2J', uri: 'otpauth://\u009b31m' })
    assert.doesNotMatch(terminal.written.stdout(), /[^\P{Cc}\n]/u)
    assert.equal(printable('\u001b]8;;http://evil.example\u0007click\r'), '\\x1b]8;;http://evil.example\\x07click')
  })

  for (const { says, document } of [
    {
      says: 'aliases of aliases',
      document: `a: &a [x,x,x,x,x,x,x,x,x]\n${Array.from(
        { length: 12 },
        (_, index) =>
          `k${index}: &${String.fromCharCode(98 + index)} [${Array(9)
            .fill(`*${String.fromCharCode(97 + index)}`)
            .join(',')}]`,
      ).join('\n')}`,
    },
    { says: 'brackets alone', document: '['.repeat(200_000) },
    { says: 'merge keys', document: 'kind: role\n<<: {metadata: {name: x}}\n' },
    { says: 'tags of code', document: 'kind: !!js/function "function(){}"\n' },
    { says: 'a list of itself', document: '&a [*a]\n' },
    {
      says: 'members of Object',
      document: 'kind: role\nversion: v7\nmetadata: {name: x}\n__proto__: {polluted: true}\n',
    },
  ]) {
    test(`is refused, and soon, where it is YAML of ${says}`, () => {
      const began = performance.now()
      assert.throws(() => parseDocuments(document, 'x.yaml'))
      assert.ok(performance.now() - began < 5000)
      assert.equal(({} as { polluted?: boolean }).polluted, undefined)
    })
  }
})
