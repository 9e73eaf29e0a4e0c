/**
 * `npm start`: a small AWS, a cluster, an agent and a user on this machine, a tour through what they do, then what to try.
 * `--once` ends after the tour, with exit code 0 if every step went as it should.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startAwsLab } from '#lab/aws/cloud.ts'
import { checkout } from '#test/shell.ts'
import { awsTour } from './aws.ts'
import { startCluster } from './cluster.ts'
import { Narrator } from './narrator.ts'

const { values: options } = parseArgs({ options: { once: { type: 'boolean', default: false } } })
const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted.abort()
    process.once(signal, () => process.exit(130)) // who asks twice does not want to wait
  })
}

const narrator = new Narrator(process.stdout)
try {
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'teleport-tour-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))

  narrator.chapter('Starting')
  const lab = stack.use(await startAwsLab({ buckets: ['reports'] }))
  await lab.putObject('reports', 'hello.txt', 'hello from the lab\n')
  lab.account().createRole({
    name: 'ExampleReadWriteAccess',
    trust: {
      Version: '2012-10-17',
      Statement: [
        { Effect: 'Allow', Principal: { AWS: lab.account().role('TeleportAWSAccess').arn }, Action: 'sts:AssumeRole' },
      ],
    },
    attach: ['AmazonS3FullAccess'],
  })
  narrator.did(`a small AWS behind the proxy ${lab.egressUrl}`)
  const cluster = stack.use(await startCluster({ dir }))
  narrator.did(`a cluster at https://${cluster.proxyAddr}`)
  const agent = await cluster.startAgent({
    name: 'agent',
    env: lab.environment('instance'),
    appLines: ['apps:', '- name: awsconsole', '  uri: https://console.aws.amazon.com/ec2/v2/home'],
  })
  narrator.did(`an Application Service (process ${agent.pid()}) that reaches AWS under the role TeleportAWSAccess`)

  const person = await awsTour({ cluster, lab, narrator })

  narrator.chapter('The tour is done')
  narrator.say(`It took ${narrator.seconds()} s.`)
  if (!options.once && !interrupted.signal.aborted) {
    narrator.say('Try it yourself, in another terminal:')
    narrator.block([
      `export PATH="${join(checkout, 'bin')}:$PATH"`,
      `export TELEPORT_HOME="${join(person.shell.home, '.tsh')}"             # you are ${person.name}`,
      `export TELEPORT_CONFIG_FILE="${cluster.processes.auth.configFile}"    # tctl as the administrator of the Auth host`,
      `export HTTPS_PROXY=${lab.egressUrl} NO_PROXY=localhost,127.0.0.1 NODE_EXTRA_CA_CERTS=${lab.caFile}`,
      '',
      'tsh apps ls',
      'tsh aws s3 ls',
      'tctl audit ls --last 10m',
      `tctl lock --user ${person.name} --ttl 1m     # then: tsh aws s3 ls`,
    ])
    narrator.say('Ctrl-C ends it and removes everything it made.')
    await new Promise((resolve) => interrupted.signal.addEventListener('abort', resolve, { once: true }))
  }
} catch (error) {
  narrator.failed(error)
  process.exitCode = 1
}
