import { Command, Option } from 'commander'
import { addExamples, collectList, parsePairs } from '#cli/command.ts'
import type { DaemonDeps } from '#daemon/deps.ts'
import type { StartFlags } from '#daemon/flags.ts'
import { product } from '#product.ts'
import type { RunOptions } from './run.ts'

interface StartOptions {
  readonly config?: string
  readonly configString?: string
  readonly debug?: boolean
  readonly roles?: readonly string[]
  readonly authServer?: readonly string[]
  readonly token?: string
  readonly caPin?: readonly string[]
  readonly nodename?: string
  readonly diagAddr?: string
  readonly pidFile?: string
  readonly advertiseIp?: string
  readonly listenIp?: string
  readonly insecure?: boolean
  readonly applyOnStartup?: string
  readonly bootstrap?: string
  readonly appName?: string
  readonly appUri?: string
  readonly appPublicAddr?: string
  readonly appCloud?: string
}

interface AppStartOptions extends StartOptions {
  readonly name?: string
  readonly uri?: string
  readonly publicAddr?: string
  readonly cloud?: string
  readonly labels?: Readonly<Record<string, string>>
}

/** `teleport start`: runs what the configuration file and the flags enable, until SIGTERM or SIGINT. */
export function startCommand(deps: DaemonDeps): Command {
  const command = withRunOptions(new Command('start'))
    .description('run the services that the configuration enables')
    .option(
      '-r, --roles <roles>',
      'services to run: auth, proxy, app (default: what the file says, else auth and proxy)',
      collectList,
    )
    .option('-l, --listen-ip <ip>', 'address on which services listen, instead of 0.0.0.0')
    .option('--advertise-ip <ip>', 'address that others should use')
    .option('--nodename <name>', 'name of this machine (default: its host name)')
    .option('--apply-on-startup <file>', 'resources to write at every start')
    .option('--bootstrap <file>', 'resources to write at the first start')
    .option('--app-name <name>', 'name of an app to serve')
    .option('--app-uri <uri>', 'where that app is')
    .option('--app-public-addr <host>', 'name under which that app is reached')
    .addOption(new Option('--app-cloud <cloud>', 'AWS, Azure or GCP').hideHelp())
    .addOption(new Option('--labels <labels>', 'accepted for scripts: SSH alone has them').hideHelp())
    .addOption(new Option('--permit-user-env', 'accepted for scripts: SSH alone has it').hideHelp())
    .action(async (options: StartOptions) => {
      const { appName: name, appUri: uri, appPublicAddr: publicAddr, appCloud: cloud } = options
      await run(
        deps,
        runOptions(options, {
          ...(options.roles ? { roles: options.roles } : {}),
          app: defined({ name, uri, publicAddr, cloud }),
        }),
      )
    })
  return addExamples(command, [
    { command: `${product.daemon} start`, says: `run what ${product.configFile} enables` },
    {
      command: `${product.daemon} start -c ./teleport.yaml --diag-addr=127.0.0.1:3000`,
      says: 'run another file, and serve /healthz and /metrics',
    },
    {
      command: `${product.daemon} start --roles=app --token=/tmp/token --ca-pin=sha256:… --auth-server=proxy.example.com:443 --app-name=grafana --app-uri=http://localhost:3000`,
      says: 'serve one app without a file',
    },
  ])
}

/** `teleport app start`: runs the Application Service alone. */
export function appStartCommand(deps: DaemonDeps): Command {
  return withRunOptions(new Command('start'))
    .description('run the Application Service')
    .option('--name <name>', 'name of the app')
    .option('--uri <uri>', 'where the app is, such as http://localhost:8080')
    .option('--cloud <cloud>', 'AWS, Azure or GCP, for a cloud API')
    .option('--public-addr <host>', 'name under which the app is reached')
    .option('--labels <labels>', 'labels of the app: key=value,key2=value2', parsePairs)
    .option('--nodename <name>', 'name of this machine (default: its host name)')
    .action(async (options: AppStartOptions) => {
      const { name, uri, publicAddr, cloud, labels } = options
      await run(deps, runOptions(options, { roles: ['app'], app: defined({ name, uri, publicAddr, cloud, labels }) }))
    })
}

/** Help and wrong flags need none of what a daemon is made of. */
async function run(deps: DaemonDeps, options: RunOptions): Promise<void> {
  const { runDaemon } = await import('./run.ts')
  await runDaemon(deps, options)
}

function withRunOptions(command: Command): Command {
  return command
    .option('-c, --config <file>', `configuration file (default: ${product.configFile})`)
    .addOption(new Option('--config-string <base64>', 'the configuration file itself, in base64').hideHelp())
    .option('--auth-server <address>', 'address of the Auth Service, or of the proxy for apps', collectList)
    .option('--token <token>', 'join token, or the path of a file with it')
    .option('--ca-pin <pin>', 'pin of the cluster: sha256:… or the path of a file with it', collectList)
    .option('--diag-addr <address>', 'serve /healthz, /readyz and /metrics at this address')
    .option('--pid-file <file>', 'write the process id to this file')
    .option('--insecure', 'do not check the certificate of the cluster while joining: for test set-ups alone')
    .addOption(new Option('--skip-version-check', 'accepted for scripts').hideHelp())
    .addOption(new Option('--no-debug-service', 'accepted for scripts: there is none').hideHelp())
}

function runOptions(options: StartOptions, more: StartFlags): RunOptions {
  const { debug, authServer, token, caPin, nodename, diagAddr, pidFile, advertiseIp, listenIp } = options
  const { config, configString, applyOnStartup, bootstrap, insecure = false } = options
  const flags = defined({ debug, authServer, token, caPin, nodename, diagAddr, pidFile, advertiseIp, listenIp })
  return { ...defined({ config, configString, applyOnStartup, bootstrap }), insecure, flags: { ...flags, ...more } }
}

/** The fields that were given. */
function defined<T extends object>(value: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>
  } // of the very fields that are not undefined
}
