/** Shells on instances and in containers: the AWS CLI asks through us, and its plug-in speaks to the message hosts past us. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { checkout } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'
import type { Person } from '#tour/cluster.ts'
import { type AwsStage, startAwsStage } from './aws-stage.ts'

const INSTANCE = 'i-0123456789abcdef0'
const START = `ssm start-session --target ${INSTANCE}`
const EXECUTE = 'ecs execute-command --cluster demo --task 0123456789abcdef --command sh --interactive'

suite('sessions through message channels', () => {
  let stage: AwsStage
  let alice: Person
  before(async () => {
    stage = await startAwsStage()
    alice = await stage.invite('alice')
    await alice.shell.run('tsh apps login awsconsole --aws-role Writer')
    const plugin = join(alice.shell.home, 'bin', 'session-manager-plugin')
    mkdirSync(join(alice.shell.home, 'bin'), { recursive: true })
    const run = `exec sh ${checkout}bin/run-node ${checkout}test/journeys/session-plugin.ts "$@"`
    writeFileSync(plugin, `#!/bin/sh\nSESSION_PLUGIN_ROOTS=${stage.lab.caFile} ${run}\n`)
    chmodSync(plugin, 0o755)
  })
  after(() => stage[Symbol.asyncDispose]())

  /** The newest session, whose channel has to have gone to AWS itself with nothing of ours. */
  const openedAt = (host: string): void => {
    const session = stage.lab.managedSessions.at(-1)
    assert.match(session?.principal ?? '', /assumed-role\/Writer\/alice$/)
    assert.equal(session?.channel?.host, host)
    assert.deepEqual(
      Object.keys(session?.channel?.headers ?? {}).filter((name) => /^(x-|authorization)/.test(name)),
      [],
    )
    assert.equal(stage.lab.egress.connections.at(-1)?.host, host)
  }

  for (const cli of ['aws-v1', 'aws-v2']) {
    suite(`with ${cli}`, () => {
      for (const [line, region] of [
        [START, 'us-east-1'],
        [`${START} --region eu-west-1`, 'eu-west-1'],
        [EXECUTE, 'us-east-1'],
      ] as const) {
        test(`tsh aws ${line}`, async (t) => {
          if (requireTool(t, cli) === undefined) return
          const { stdout } = await alice.shell.run(`tsh aws --exec ${requireTool(t, cli)} ${line}`, {
            input: 'whoami\nls -l\n',
          })
          assert.match(stdout, /Starting session[\s\S]*6:whoami\n5:ls -l\n[\s\S]*Exiting session/)
          openedAt(`ssmmessages.${region}.amazonaws.com`)
        })
      }
      test('through tsh proxy aws, in another terminal', async (t) => {
        const path = requireTool(t, cli)
        if (path === undefined) return
        await using proxy = alice.shell.start('tsh proxy aws')
        await proxy.waitFor(/HTTPS_PROXY=.*\n/)
        const exports = proxy.output().match(/export .*/g)
        for (const line of [START, EXECUTE]) {
          const { stdout } = await alice.shell.run(`${exports?.join('\n')}\n${path} ${line}`, { input: 'whoami\n' })
          assert.match(stdout, /Starting session[\s\S]*6:whoami\n[\s\S]*Exiting session/)
          openedAt('ssmmessages.us-east-1.amazonaws.com')
        }
      })
    })
  }

  test('a FIPS endpoint gives a FIPS channel', async (t) => {
    const cli = requireTool(t, 'aws-v2')
    if (cli === undefined) return
    const endpoint = 'https://ssm-fips.us-east-1.amazonaws.com'
    await alice.shell.run(`tsh aws --exec ${cli} ${START} --endpoint-url ${endpoint}`, { input: 'id\n' })
    openedAt('ssmmessages-fips.us-east-1.amazonaws.com')
  })

  test('what is typed comes back while the session is open', async (t) => {
    const cli = requireTool(t, 'aws-v2')
    if (cli === undefined) return
    await using session = alice.shell.start(`tsh aws --exec ${cli} ${START}`)
    await session.waitFor(/Starting session/)
    session.write('echo hello\n')
    await session.waitFor(/10:echo hello/)
  })

  test('who may only read is refused before there is a channel', async (t) => {
    const cli = requireTool(t, 'aws-v2')
    if (cli === undefined) return
    const before = stage.lab.managedSessions.length
    const { code, stderr } = await alice.shell.run(`tsh aws --aws-role Reader --exec ${cli} ${START}`, {
      mayFail: true,
    })
    assert.notEqual(code, 0)
    assert.match(stderr, /AccessDeniedException.*ssm:StartSession/)
    assert.equal(stage.lab.managedSessions.length, before)
  })
})
