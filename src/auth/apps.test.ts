/** App sessions: who gets a certificate for what, for how long, and how it ends. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { AccessDenied, NotFound } from '#errors.ts'
import { decodeIdentity } from '#identity/decode.ts'
import { parseCertificate } from '#pki/certificate.ts'
import { generateKeyPair, privateKeyPem, publicKeyPem } from '#pki/key.ts'
import {
  appServer,
  type CallerClients,
  keyPem,
  type RunningAuth,
  readOnlyArn,
  role,
  runAuth,
} from './callers.conformance.ts'

const HOUR = 3_600_000
const adminArn = 'arn:aws:iam::123456789012:role/ExampleAdmin'
const otherAccount = 'arn:aws:iam::999999999999:role/ExampleReadOnlyAccess'
let running: RunningAuth
let plain: CallerClients
before(async () => {
  running = await runAuth()
  plain = running.caller('plain')
  const announced = [
    appServer('awsconsole'),
    appServer('prodconsole', { env: 'prod' }),
    appServer('account', { env: 'dev', aws_account_id: '999999999999' }),
  ]
  await running
    .caller('app')
    .join.heartbeat({ documents: announced.map((document) => ({ json: JSON.stringify(document) })) })
})
after(() => running[Symbol.asyncDispose]())

const start = (caller: CallerClients, more: object = {}) =>
  caller.apps.startAppSession({ app: 'awsconsole', awsRoleArn: readOnlyArn, publicKeyPem: keyPem(), ...more })

suite('which apps somebody sees', () => {
  test('those whose labels their roles allow, with the ARNs that they may choose there', async () => {
    const { apps } = await plain.apps.listApps({})
    assert.deepEqual(
      apps.map(({ app, awsRoleArns }) => [JSON.parse(app?.json ?? '').metadata.name, awsRoleArns]),
      [
        ['account', []],
        ['awsconsole', [readOnlyArn]],
      ],
    )
    assert.equal((await plain.apps.listApps({ name: 'awsconsole' })).apps.length, 1)
    assert.equal((await plain.apps.listApps({ name: 'prodconsole' })).apps.length, 0)
  })

  test('an ARN is offered only where the account label fits', async () => {
    await running.create(
      role('two-accounts', { app_labels: { env: ['dev'] }, aws_role_arns: [readOnlyArn, otherAccount] }),
    )
    const both = await running.login('both', ['two-accounts'])
    const { apps } = await both.apps.listApps({})
    assert.deepEqual(
      apps.map(({ awsRoleArns }) => awsRoleArns),
      [[otherAccount], [readOnlyArn, otherAccount]],
    )
  })
})

suite('an app session', () => {
  test('is a certificate for one app and one ARN until the login ends, with two events', async () => {
    const { certificatePem, sessionId, serverName } = await start(plain)
    const identity = decodeIdentity(parseCertificate(certificatePem), 'user')
    assert.deepEqual(identity.usage, ['apps'])
    assert.deepEqual(identity.routeToApp, {
      name: 'awsconsole',
      sessionId,
      publicAddr: 'awsconsole.proxy.example.test',
      cluster: 'example.test',
      serverName,
      awsRoleArn: readOnlyArn,
    })
    const login = decodeIdentity(parseCertificate(plain.certificate?.cert ?? ''), 'user')
    assert.ok(identity.expires <= login.expires)
    const [issued, started] = (await running.events()).slice(-2)
    assert.deepEqual([issued?.code, started?.code, started?.sid], ['TC000I', 'T2007I', sessionId])
    assert.equal(started?.aws_role_arn, readOnlyArn)
  })

  test('lasts as long as asked for and never longer than the login', async () => {
    const life = async (ttlSeconds: number): Promise<number> => {
      const { certificatePem } = await start(plain, { ttlSeconds: BigInt(ttlSeconds) })
      return parseCertificate(certificatePem).notAfter.getTime() - running.now().getTime()
    }
    assert.ok(Math.abs((await life(3600)) - HOUR) < 5_000)
    assert.ok((await life(1_000_000)) <= 12 * HOUR)
  })

  for (const { says, request, error } of [
    { says: 'an ARN that no role lists', request: { awsRoleArn: adminArn }, error: /allow\.aws_role_arns/ },
    {
      says: 'an ARN of a template that was never filled',
      request: { awsRoleArn: '{{internal.aws_role_arns}}' },
      error: /allow\.aws_role_arns/,
    },
    { says: 'any ARN', request: { awsRoleArn: '*' }, error: /allow\.aws_role_arns/ },
    {
      says: 'an Azure identity that no role lists',
      request: { awsRoleArn: '', azureIdentity: '/subscriptions/x' },
      error: /allow\.azure_identities/,
    },
  ]) {
    test(`as ${says} is refused, says which field is missing, and is recorded`, async () => {
      await assert.rejects(start(plain, request), (thrown: unknown) => {
        assert.ok(thrown instanceof AccessDenied)
        assert.match(thrown.message, error)
        assert.doesNotMatch(thrown.message, /plain/, 'no names of roles')
        return true
      })
      assert.equal((await running.events()).at(-1)?.code, 'T2007E')
    })
  }

  test('of an app that the caller may not see is refused like one that does not exist', async () => {
    const texts = await Promise.all(
      ['prodconsole', 'no-such-app'].map((app) =>
        start(plain, { app }).then(
          () => assert.fail('refused'),
          (error: unknown) => {
            assert.ok(error instanceof NotFound)
            return error.message.replace(app, 'APP')
          },
        ),
      ),
    )
    assert.equal(texts[0], texts[1])
    assert.match(texts[0] ?? '', /app "APP" not found, use `tsh apps ls` to see registered apps/)
  })

  test('its certificate opens nothing at the Auth Service', async () => {
    const keys = generateKeyPair()
    const { certificatePem } = await start(plain, { publicKeyPem: publicKeyPem(keys.publicKey) })
    const withApp = running.as({ cert: certificatePem, key: privateKeyPem(keys.privateKey) })
    await assert.rejects(withApp.apps.listApps({}), /only for apps/)
    await assert.rejects(withApp.users.reissueCertificate({ publicKeyPem: keyPem() }), /only for apps/)
  })

  test('ends with a lock on that session of that user alone', async () => {
    const { sessionId } = await start(plain)
    await plain.apps.endAppSession({ sessionId })
    const { documents } = await running.caller('admin').resources.list({ kind: 'lock' })
    const [lock] = documents
      .map(({ json }) => JSON.parse(json))
      .filter(({ spec }) => spec.target.app_session === sessionId)
    assert.deepEqual(lock.spec.target, { user: 'plain-user', app_session: sessionId })
    assert.equal((await running.events()).at(-1)?.code, 'T2011I')
    await plain.apps.listApps({})
    await assert.rejects(plain.apps.endAppSession({ sessionId: '*' }), /no id of an app session/)
  })

  test('is refused where the cluster wants a second factor for each session', async () => {
    await running.create(
      role('careful', { app_labels: { env: ['dev'] }, aws_role_arns: [readOnlyArn] }, { require_session_mfa: true }),
    )
    const careful = await running.login('careful', ['careful'])
    await assert.rejects(start(careful), /requires MFA/)
  })
})
