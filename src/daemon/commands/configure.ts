import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { Command } from 'commander'
import { addExamples, collectList } from '#cli/command.ts'
import { ExitWith, UsageError } from '#cli/usage-error.ts'
import { parseConfig } from '#daemon/config.ts'
import { type ConfigureOptions, configureText } from '#daemon/configure.ts'
import type { DaemonDeps } from '#daemon/deps.ts'
import { AccessError, AlreadyExists } from '#errors.ts'
import { product } from '#product.ts'

interface Options extends Omit<ConfigureOptions, 'caPins' | 'nodeName'> {
  readonly output: string
  readonly test?: string
  readonly caPin?: readonly string[]
  readonly nodeName?: string
}

/** `teleport configure`: writes a configuration file, or checks one. */
export function configureCommand({ terminal }: DaemonDeps): Command {
  const command = new Command('configure')
    .description('write a configuration file, or check one with --test')
    .option('-o, --output <where>', `stdout, file (${product.configFile}) or file:///PATH`, 'stdout')
    .option('--test <file>', 'check this file and write nothing')
    .option('--version <version>', 'version of the file: v1, v2 or v3', 'v3')
    .option('--roles <roles>', 'services: auth, proxy, app', collectList)
    .option('--cluster-name <name>', 'name of the cluster: it cannot be changed later')
    .option('--public-addr <address>', 'HOST:PORT under which the proxy is reached')
    .option('--cert-file <file>', 'certificate chain of the proxy, PEM')
    .option('--key-file <file>', 'private key of the proxy, PEM')
    .option('--data-dir <dir>', 'directory of the state', product.dataDir)
    .option('--token <token>', 'join token, or the path of a file with it')
    .option('--join-method <method>', 'how this machine joins')
    .option('--ca-pin <pin>', 'pin of the cluster', collectList)
    .option('--auth-server <address>', 'address of the Auth Service')
    .option('--proxy <address>', 'address of the proxy')
    .option('--app-name <name>', 'name of an app to serve')
    .option('--app-uri <uri>', 'where that app is')
    .option('--node-name <name>', 'name of this machine (default: its host name)')
    .option('--acme', 'get the certificate of the proxy by ACME')
    .option('--acme-email <email>', 'address that the certificate authority may write to')
    .action(async ({ output, test, caPin = [], roles, nodeName = hostname(), ...options }: Options) => {
      if (test !== undefined) {
        if (output !== 'stdout')
          throw new UsageError('only --output or --test can be set, not both', { hint: 'leave one out' })
        return checkFile(test)
      }
      const text = configureText({ ...options, caPins: caPin, nodeName, roles: roles ?? ['auth', 'proxy'] })
      await warnOfState(options.dataDir)
      await write(text, output)
    })

  const checkFile = async (file: string): Promise<void> => {
    try {
      const { warnings } = parseConfig(await readFile(file, 'utf8'), file)
      for (const warning of warnings) terminal.stderr.write(`warning: ${warning}\n`)
      terminal.stderr.write(`OK ${file}\n`)
    } catch (error) {
      terminal.stderr.write(`FAIL ${file}\n`)
      if (!(error instanceof AccessError) && (error as NodeJS.ErrnoException).code === undefined) throw error
      terminal.stderr.write(`ERROR: ${(error as Error).message}\n`) // one of the two kinds of error just looked for
      if (error instanceof AccessError) terminal.stderr.write(`hint: ${error.hint}\n`)
      throw new ExitWith(1)
    }
  }
  const warnOfState = async (dataDir: string): Promise<void> => {
    const found = await readdir(dataDir).catch(() => [])
    if (found.length > 0) {
      terminal.stderr.write(
        `warning: ${dataDir} is not empty: it may hold a cluster whose name and authorities stay as they are\n`,
      )
    }
  }
  const write = async (text: string, output: string): Promise<void> => {
    if (output === 'stdout' || output === '-') {
      terminal.stdout.write(text)
      return
    }
    const path =
      output === 'file' ? product.configFile : output.startsWith('file://') ? new URL(output).pathname : output
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text, { mode: 0o600, flag: 'wx' }).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== 'EEXIST') throw cause
      throw new AlreadyExists(`will not overwrite the existing file ${path}`, {
        hint: 'choose another path with --output, or remove the file',
        cause,
      })
    })
    terminal.stdout.write(
      `A ${product.name} configuration file has been created at ${JSON.stringify(path)}.\nTo start ${product.name} with this configuration file, run:\n\n${product.daemon} start --config=${JSON.stringify(path)}\n`,
    )
  }
  return addExamples(command, [
    {
      command: `${product.daemon} configure --cluster-name=teleport.example.com --public-addr=teleport.example.com:443 -o file`,
      says: 'write the file of an Auth and Proxy Service',
    },
    {
      command: `${product.daemon} configure --roles=app --token=/tmp/token --proxy=teleport.example.com:443 -o file`,
      says: 'write the file of an agent',
    },
    { command: `${product.daemon} configure --test ${product.configFile}`, says: 'check a file' },
  ])
}
