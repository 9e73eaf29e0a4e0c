import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { NoCredentials } from '#aws/credentials-client.ts'
import type { RoleRequest } from '#aws/sts-client.ts'
import { AssumeRoleFailed } from '#aws/sts-regions-client.ts'
import type { Log } from '#log.ts'
import { parseApp } from '#resources/app.ts'
import { parseRole } from '#resources/role.ts'
import { Secret } from '#secret.ts'
import { startPreflight } from './preflight.ts'

const AGENT = 'arn:aws:sts::123456789012:assumed-role/Agent/i-1'
const READER = 'arn:aws:iam::123456789012:role/Reader'
const WRITER = 'arn:aws:iam::123456789012:role/Writer'

/** An STS that says what the test wants, and a preflight whose looks the test lets happen one by one. */
interface Bed extends AsyncDisposable {
  readonly asked: readonly RoleRequest[]
  readonly lines: readonly string[]
  /** What it says of consoles, once for each time that it says who it is. */
  readonly notes: readonly unknown[]
  /** What fails, by ARN; `sts` is asking who the agent is. */
  readonly broken: Map<string, Error>
  readonly arns: string[]
  aheadMs: number
  failing(): readonly string[]
  look(times?: number): Promise<void>
}

function start({ aheadMs = 0, broken = new Map<string, Error>() } = {}): Bed {
  const asked: RoleRequest[] = []
  const lines: string[] = []
  const arns = [READER]
  const write = (message: string): void => void lines.push(message)
  const notes: unknown[] = []
  const inform: Log['info'] = (message, fields = {}) => {
    if (message === `AWS knows this agent as ${AGENT}`) notes.push(fields.note)
    else write(message)
  }
  const log: Log = { debug() {}, info: inform, warn: write, error: write, child: () => log }
  let rested = Promise.withResolvers<void>()
  let next = Promise.withResolvers<boolean>()
  const state = { aheadMs, asked, lines, notes, broken, arns }
  const preflight = startPreflight({
    credentials: {
      async identify() {
        const error = broken.get('sts')
        if (error) throw error
        return { arn: AGENT, kind: 'temporary', aheadMs: state.aheadMs }
      },
      async get(request) {
        asked.push(request)
        const error = broken.get(request.roleArn)
        if (error) throw error
        const secret = new Secret('s')
        return {
          accessKeyId: 'A',
          secretAccessKey: secret,
          sessionToken: secret,
          expires: new Date(),
          assumedRoleArn: '',
        }
      },
    },
    apps: () => [parseApp({ metadata: { name: 'aws' }, spec: { cloud: 'AWS', aws: { external_id: 'x' } } })],
    roles: () => [
      parseRole({
        kind: 'role',
        version: 'v7',
        metadata: { name: 'r' },
        spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: [...arns] } },
      }),
    ],
    log,
    pause(ms, signal) {
      if (ms < 1000) return Promise.resolve(true)
      rested.resolve()
      signal.addEventListener('abort', () => next.resolve(false), { once: true })
      return next.promise
    },
  })
  return Object.assign(state, {
    failing: () => preflight.failing(),
    async look(times = 1) {
      await rested.promise
      for (let time = 0; time < times; time++) {
        const go = next
        rested = Promise.withResolvers()
        next = Promise.withResolvers()
        go.resolve(true)
        await rested.promise
      }
    },
    [Symbol.asyncDispose]: () => preflight[Symbol.asyncDispose](),
  })
}
const denied = (): Error =>
  new AssumeRoleFailed(
    'denied',
    `AccessDenied: User: ${AGENT} is not authorized to perform: sts:AssumeRole on resource: ${READER}`,
    {
      hint: 'h',
      cause: undefined,
    },
  )
/** As many looks as lie between two tries of what failed. */
const RETRY = 6

suite('the preflight of an agent', () => {
  test('assumes each role once, for nobody, and says nothing while all works', async () => {
    await using bed = start()
    await bed.look(RETRY * 3)
    assert.deepEqual(bed.asked, [
      { app: 'aws', user: '', roleArn: READER, sessionName: 'teleport-preflight', region: '', externalId: 'x' },
    ])
    assert.deepEqual(bed.lines, [])
    assert.deepEqual(bed.failing(), [])
    assert.equal(bed.notes.length, 1)
    assert.match(String(bed.notes[0]), /sessions of the AWS console end after one hour/)
  })

  test('prints the missing statement once, tries again, and says when it is there', async () => {
    await using bed = start({ broken: new Map([[READER, denied()]]) })
    await bed.look(RETRY * 2)
    assert.equal(bed.asked.length, 3)
    assert.equal(bed.lines.length, 1)
    const [, statement = ''] = /add to the trust policy of \S+: (\{.*\})$/.exec(bed.lines[0] ?? '') ?? []
    assert.deepEqual(JSON.parse(statement), {
      Effect: 'Allow',
      Principal: { AWS: 'arn:aws:iam::123456789012:role/Agent' },
      Action: 'sts:AssumeRole',
      Condition: { StringEquals: { 'sts:ExternalId': 'x' } },
    })
    assert.equal(bed.failing().length, 1)
    bed.broken.clear()
    await bed.look(RETRY)
    assert.deepEqual(bed.lines.slice(1), ['the role can be assumed now'])
    assert.deepEqual(bed.failing(), [])
  })

  test('looks at a role that is new, and forgets one that is gone', async () => {
    await using bed = start()
    await bed.look()
    bed.broken.set(WRITER, denied())
    bed.arns.push(WRITER)
    await bed.look()
    assert.deepEqual(
      bed.asked.map(({ roleArn }) => roleArn),
      [READER, WRITER],
    )
    assert.equal(bed.failing().length, 1)
    bed.arns.pop()
    await bed.look()
    assert.deepEqual(bed.failing(), [])
  })

  test('asks for no role while the agent itself is nobody', async () => {
    const nobody = new NoCredentials('NoCredentialProviders: no valid providers in chain', { hint: 'h' })
    await using bed = start({ broken: new Map([['sts', nobody]]) })
    await bed.look(RETRY)
    assert.deepEqual(bed.asked, [])
    assert.deepEqual(bed.lines, ['NoCredentialProviders: no valid providers in chain'])
    assert.deepEqual(bed.failing(), ['sts:aws'])
  })

  for (const [aheadMs, says] of [
    [432_000, '7m12s behind that of AWS'],
    [-90_500, '1m31s ahead of that of AWS'],
  ] as const) {
    test(`measures a clock that is ${says}, once`, async () => {
      await using bed = start({ aheadMs })
      await bed.look(RETRY)
      bed.aheadMs += 1000
      await bed.look(RETRY)
      const { lines } = bed
      assert.equal(lines.length, 1)
      assert.match(lines[0] ?? '', new RegExp(says))
    })
  }
})
