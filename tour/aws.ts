/** The AWS chapter of the tour: from a user's terminal to AWS and back. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { AwsLab } from '#lab/aws/cloud.ts'
import { checkout, findAwsCli } from '#test/shell.ts'
import type { Cluster, Person } from './cluster.ts'
import type { Narrator } from './narrator.ts'

export interface AwsTour {
  readonly cluster: Cluster
  readonly lab: AwsLab
  readonly narrator: Narrator
}

const role = `kind: role
version: v7
metadata:
  name: aws-access
spec:
  allow:
    app_labels:
      '*': '*'
    aws_role_arns:
      - arn:aws:iam::ACCOUNT:role/ExampleReadOnlyAccess
      - arn:aws:iam::ACCOUNT:role/ExampleReadWriteAccess
`

/** Invites a user and follows them to AWS. @throws when a step does not do what it should */
export async function awsTour({ cluster, lab, narrator }: AwsTour): Promise<Person> {
  narrator.chapter('An administrator makes a role and invites alice')
  writeFileSync(join(cluster.admin.home, 'aws-access.yaml'), role.replaceAll('ACCOUNT', lab.accountId))
  await narrator.run(cluster.admin, 'tctl create -f aws-access.yaml')
  const { AWS_CA_BUNDLE: _, ...way } = lab.environment('none')
  const alice = await cluster.addUser('alice', ['access', 'auditor', 'aws-access'], way)
  narrator.say('  alice has set a password and an authenticator app with "tsh signup"')

  narrator.chapter('Alice signs in and opens the app')
  await alice.login()
  await narrator.run(alice.shell, 'tsh status')
  await narrator.run(alice.shell, 'tsh apps ls')
  await narrator.run(alice.shell, 'tsh apps login --aws-role ExampleReadOnlyAccess awsconsole')

  const aws = findAwsCli()
  const sdk = `"${process.execPath}" "${checkout}tour/aws-sdk.ts"`
  const command = (cli: string, script: string): string =>
    aws === undefined
      ? `tsh aws --exec ${sdk} ${script}`
      : `tsh aws ${aws.endsWith('/aws') ? '' : `--exec ${aws} `}${cli}`

  narrator.chapter(
    `Alice uses AWS${aws === undefined ? ' (there is no aws command line here: the SDK stands in)' : ''}`,
  )
  await narrator.run(alice.shell, command('s3 ls', 'list'))
  narrator.say('\nReading only: the role may not write, and AWS says so.')
  await narrator.run(
    alice.shell,
    command('s3 cp /etc/hostname s3://reports/not-allowed', 'put /etc/hostname reports not-allowed'),
    {
      mayFail: true,
    },
  )

  narrator.chapter('A round trip of 100 MB under a role that may write')
  await narrator.run(alice.shell, 'tsh apps login --quiet --aws-role ExampleReadWriteAccess awsconsole')
  await writeNoise(join(alice.shell.home, 'noise'), 100_000_000)
  await narrator.run(alice.shell, command('s3 cp --no-progress noise s3://reports/noise', 'put noise reports noise'))
  await narrator.run(
    alice.shell,
    command('s3 cp --no-progress s3://reports/noise noise.back', 'get reports noise noise.back'),
  )
  const [sent, received] = await Promise.all(
    ['noise', 'noise.back'].map((name) => sha256(join(alice.shell.home, name))),
  )
  if (sent !== received) throw new Error('what came back differs from what was sent')
  narrator.did('came back byte for byte')

  narrator.chapter('What the audit log has of it')
  await narrator.run(cluster.admin, 'tctl audit ls --last 10m --limit 12')
  return alice
}

async function writeNoise(file: string, bytes: number): Promise<void> {
  const block = randomBytes(1_000_000)
  const blocks = Array.from({ length: bytes / block.length }, (_, index) => {
    const copy = Buffer.from(block)
    copy.writeUInt32BE(index)
    return copy
  })
  await pipeline(Readable.from(blocks), createWriteStream(file))
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
