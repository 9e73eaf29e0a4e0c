/** Apps and agents of GovCloud and China: each asks the STS of its own partition, and no role is used in another. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import type { Partition } from '#lab/aws/account.ts'
import { type AwsLab, startAwsLab } from '#lab/aws/cloud.ts'
import { checkout } from '#test/shell.ts'
import { requireTool } from '#test/tools.ts'
import { type Cluster, type Person, type Service, startCluster } from '#tour/cluster.ts'
import { createResource, trustOf } from './aws-stage.ts'

interface Cloud {
  readonly partition: Partition
  readonly region: string
  readonly otherRegion: string
  readonly consoleUri: string
  readonly sts: string
  readonly otherSts: string
  /** FIPS, dual stack and global names of the partition. */
  readonly hosts: readonly string[]
}

const clouds: readonly Cloud[] = [
  {
    partition: 'aws-us-gov',
    region: 'us-gov-west-1',
    otherRegion: 'us-gov-east-1',
    consoleUri: 'https://console.amazonaws-us-gov.com/',
    sts: 'sts.us-gov-west-1.amazonaws.com',
    otherSts: 'sts.us-gov-east-1.amazonaws.com',
    hosts: ['s3-fips.us-gov-west-1.amazonaws.com', 's3.dualstack.us-gov-west-1.amazonaws.com'],
  },
  {
    partition: 'aws-cn',
    region: 'cn-north-1',
    otherRegion: 'cn-northwest-1',
    consoleUri: 'https://console.amazonaws.cn/',
    sts: 'sts.cn-north-1.amazonaws.com.cn',
    otherSts: 'sts.cn-northwest-1.amazonaws.com.cn',
    hosts: ['s3.dualstack.cn-north-1.amazonaws.com.cn'],
  },
]
const identity = `--exec "${process.execPath}" "${checkout}test/journeys/aws-sdk-calls.ts" identity`
const foreignRole = 'arn:aws:iam::123456789012:role/Foreign'

for (const { partition, region, otherRegion, consoleUri, sts, otherSts, hosts } of clouds) {
  suite(`an app of ${partition}`, () => {
    const stack = new AsyncDisposableStack()
    let lab: AwsLab
    let cluster: Cluster
    let agent: Service
    let alice: Person
    const call = (inRegion: string): ReturnType<Person['shell']['run']> =>
      alice.shell.run(`tsh aws ${identity}`, { mayFail: true, env: { AWS_REGION: inRegion } })

    before(async () => {
      const dir = mkdtempSync(join(tmpdir(), 'aws-journey-'))
      stack.defer(() => rmSync(dir, { recursive: true, force: true }))
      lab = stack.use(await startAwsLab({ partition, region, buckets: ['reports'] }))
      const trust = trustOf(lab.account().role('TeleportAWSAccess').arn)
      const reader = lab.account().createRole({ name: 'Reader', trust, attach: ['ReadOnlyAccess'] })
      cluster = stack.use(await startCluster({ dir }))
      const appLines = [
        'apps:',
        '- name: console',
        `  uri: ${consoleUri}`,
        '- name: any',
        '  cloud: AWS',
        'preflight: no',
      ]
      agent = await cluster.startAgent({ name: 'agent', env: lab.environment('instance'), appLines })
      await createResource(cluster.admin, {
        kind: 'role',
        version: 'v7',
        metadata: { name: 'aws-access' },
        spec: { allow: { app_labels: { '*': '*' }, aws_role_arns: [reader.arn, foreignRole] } },
      })
      const { AWS_CA_BUNDLE: _, ...way } = lab.environment('none')
      alice = await cluster.addUser('alice', ['access', 'aws-access'], way)
      await alice.login()
      await alice.shell.run('tsh apps login --quiet --aws-role Reader console')
    })
    after(() => stack.disposeAsync())

    test('reaches its own STS, in the region of the request', async () => {
      for (const [inRegion, host] of [
        [region, sts],
        [otherRegion, otherSts],
      ] as const) {
        await agent.stop()
        await agent.start()
        const seen = lab.seen.length
        const { stdout, stderr } = await call(inRegion)
        assert.equal(stdout.trim(), `arn:${partition}:sts::123456789012:assumed-role/Reader/alice`, stderr)
        const assumed = lab.seen
          .slice(seen)
          .filter(({ operation, host: name }) => operation === 'AssumeRole' && name === host)
        assert.equal(
          assumed.length,
          1,
          lab.seen
            .slice(seen)
            .map((each) => `${each.operation} ${each.host}`)
            .join(),
        )
      }
    })

    test('never asks an STS of another partition', () => {
      const asked = lab.seen.filter(({ service }) => service === 'sts').map(({ host }) => host)
      assert.deepEqual(
        asked.filter((host) => host !== sts && host !== otherSts),
        [],
      )
    })

    for (const host of hosts) {
      test(`reaches ${host}`, async (t) => {
        const aws = requireTool(t, 'aws-v2')
        if (aws === undefined) return
        const { stdout } = await alice.shell.run(`tsh aws --exec aws-v2 s3 ls --region ${region}`, {
          env: {
            AWS_USE_FIPS_ENDPOINT: String(host.includes('fips')),
            AWS_USE_DUALSTACK_ENDPOINT: String(host.includes('dualstack')),
          },
        })
        assert.match(stdout, /reports/)
        assert.ok(
          lab.seen.some((each) => each.host === host),
          `nobody asked ${host}`,
        )
      })
    }

    test('refuses a request to another partition, and says what to set', async () => {
      const { code, stderr } = await call('us-west-2')
      assert.notEqual(code, 0)
      assert.match(
        stderr,
        new RegExp(
          `sts\\.us-west-2\\.amazonaws\\.com is a host of AWS partition aws \\(standard\\), and your role is of ${partition}`,
        ),
      )
      assert.match(stderr, /AWS_REGION/)
    })

    test('refuses a role of another partition', async () => {
      const { code, stderr } = await alice.shell.run(`tsh apps login --quiet --aws-role ${foreignRole} console`, {
        mayFail: true,
      })
      assert.notEqual(code, 0)
      assert.match(
        stderr,
        new RegExp(
          `${foreignRole} is a role of AWS partition aws \\(standard\\), and app "console" is of ${partition}`,
        ),
      )
    })
  })
}
