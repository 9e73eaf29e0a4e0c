/** The lab alone: `npm run lab` starts it, prints the environment for a shell and stays until it is interrupted. */
import { once } from 'node:events'
import { startAwsLab } from '#lab/aws/cloud.ts'

await using lab = await startAwsLab({ buckets: ['reports'] })
await lab.putObject('reports', 'welcome.txt', 'This object is in a cloud on loopback.\n')
lab.addInstance({ tags: { Name: 'demo' } })

const quote = (value: string): string => `'${value.replaceAll("'", `'\\''`)}'`
const assignments = Object.entries(lab.environment()).map(([name, value]) => `export ${name}=${quote(value)}`)
console.log(`# A small AWS with account ${lab.accountId} runs on this machine. In another shell:`)
console.log(assignments.join('\n'))
console.log('unset AWS_PROFILE AWS_SESSION_TOKEN https_proxy no_proxy')
console.log('# then for example: aws s3 ls')
console.log(`# The role of an EC2 instance: export AWS_EC2_METADATA_SERVICE_ENDPOINT=${quote(lab.instance.endpoint)}`)
console.log('# Stop it with Ctrl-C.')

await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
