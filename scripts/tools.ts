/**
 * `npm run tools`: installs the real clients and servers that tests and benchmarks use, pinned, into a cache outside the checkout.
 * Each tool ends up as a launcher in `<cache>/bin`. A tool that is there already is left alone.
 * With `CI=true` a tool that cannot be installed is a failure; otherwise it is named and its tests are skipped.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { checkout } from '#test/shell.ts'
import { toolFolder } from '#test/tools.ts'

interface Tool {
  /** Names of its launchers. */
  readonly launchers: readonly string[]
  /** Part of the folder name: another version is installed beside it. */
  readonly version: string
  /** Fills `folder` and gives the text of each launcher. @throws with what the installer printed */
  install(folder: string): Readonly<Record<string, string>>
}

const tools: Readonly<Record<string, Tool>> = {
  'aws-cli-v1': {
    launchers: ['aws-v1'],
    version: '1.46.2',
    install: (folder) => {
      python(folder, ['awscli==1.46.2'])
      return { 'aws-v1': `exec "${folder}/venv/bin/aws" "$@"` }
    },
  },
  'aws-cli-v2': {
    launchers: ['aws-v2'],
    version: 'debian',
    install: (folder) => {
      debian(folder, closure('awscli', /^(python3-|awscli$)/))
      return {
        'aws-v2': `PYTHONPATH="${folder}/root/usr/lib/python3/dist-packages" exec /usr/bin/python3 "${folder}/root/usr/bin/aws" "$@"`,
      }
    },
  },
  boto3: {
    launchers: ['python-boto3'],
    version: '1.44.5',
    install: (folder) => {
      python(folder, ['boto3==1.44.5'])
      return { 'python-boto3': `exec "${folder}/venv/bin/python" "$@"` }
    },
  },
  s3cmd: {
    launchers: ['s3cmd'],
    version: '2.4.0',
    install: (folder) => {
      python(folder, ['s3cmd==2.4.0'])
      return { s3cmd: `exec "${folder}/venv/bin/python" "${folder}/venv/bin/s3cmd" "$@"` }
    },
  },
  rclone: {
    launchers: ['rclone'],
    version: 'debian',
    install: (folder) => {
      debian(folder, ['rclone'])
      return { rclone: `exec "${folder}/root/usr/bin/rclone" "$@"` }
    },
  },
  'go-clients': {
    launchers: ['go-sdk-v2', 'go-minio'],
    version: contentHash('test/clients/go'),
    install: (folder) => {
      cpSync(`${checkout}test/clients/go`, `${folder}/source`, { recursive: true })
      const env = {
        GOPATH: `${folder}/modules`,
        GOCACHE: `${folder}/objects`,
        CGO_ENABLED: '0',
        GOFLAGS: '-modcacherw',
      }
      execute('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', `${folder}/`, './...'], `${folder}/source`, env)
      for (const name of ['modules', 'objects']) rmSync(`${folder}/${name}`, { recursive: true })
      return { 'go-sdk-v2': `exec "${folder}/sdk-v2" "$@"`, 'go-minio': `exec "${folder}/minio" "$@"` }
    },
  },
  'java-client': {
    launchers: ['java-sdk-v2'],
    version: contentHash('test/clients/java'),
    install: (folder) => {
      cpSync(`${checkout}test/clients/java`, `${folder}/source`, { recursive: true })
      const flags = ['-q', '-B', `-Dmaven.repo.local=${folder}/packages`]
      execute('mvn', [...flags, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}/lib`], `${folder}/source`)
      execute('javac', ['-cp', `${folder}/lib/*`, '-d', `${folder}/classes`, 'S3Calls.java'], `${folder}/source`)
      rmSync(`${folder}/packages`, { recursive: true })
      return { 'java-sdk-v2': `exec java $JAVA_FLAGS -cp "${folder}/classes:${folder}/lib/*" S3Calls "$@"` }
    },
  },
  nginx: {
    launchers: ['nginx-stream'],
    version: 'debian',
    install: (folder) => {
      debian(folder, ['nginx', 'nginx-common', 'libnginx-mod-stream', 'libpcre2-8-0'])
      const [module] = globSync(`${folder}/root/usr/lib/nginx/modules/ngx_stream_module.so`)
      if (module === undefined) throw new Error('the stream module is not in its package')
      return {
        'nginx-stream': `LD_LIBRARY_PATH="$(echo ${folder}/root/usr/lib/*-linux-gnu)" exec "${folder}/root/usr/sbin/nginx" -g "load_module ${module};" "$@"`,
      }
    },
  },
  wrk: {
    launchers: ['wrk'],
    version: 'debian',
    install: (folder) => {
      debian(folder, ['wrk', 'libluajit-5.1-2', 'libluajit-5.1-common'])
      return {
        wrk: `LD_LIBRARY_PATH="$(echo ${folder}/root/usr/lib/*-linux-gnu)" exec "${folder}/root/usr/bin/wrk" "$@"`,
      }
    },
  },
}

/** Runs a program to its end. @throws with the last lines that it printed */
function execute(
  program: string,
  args: readonly string[],
  cwd?: string,
  env: Readonly<Record<string, string>> = {},
): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 600_000,
    env: { ...process.env, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  })
  if (error !== undefined) throw error
  if (status !== 0)
    throw new Error(`${program} ended with ${status}: ${stderr.trim().split('\n').slice(-3).join(' | ')}`)
  return stdout
}

/** A virtual environment of its own, so that no version bends another. */
function python(folder: string, requirements: readonly string[]): void {
  execute('python3', ['-m', 'venv', `${folder}/venv`])
  execute(`${folder}/venv/bin/python`, [
    '-m',
    'pip',
    'install',
    '--quiet',
    '--disable-pip-version-check',
    ...requirements,
  ])
}

/** Unpacks packages without installing them: nothing of the machine changes. */
function debian(folder: string, packages: readonly string[]): void {
  mkdirSync(`${folder}/deb`, { recursive: true })
  execute('apt-get', ['download', ...packages], `${folder}/deb`)
  for (const file of globSync(`${folder}/deb/*.deb`)) execute('dpkg-deb', ['-x', file, `${folder}/root`])
  rmSync(`${folder}/deb`, { recursive: true })
}

/** Stands for the version of a client that is built from sources of ours: another one as soon as a file changes. */
function contentHash(folder: string): string {
  const hash = createHash('sha256')
  for (const file of globSync(`${checkout}${folder}/**/*.*`).toSorted()) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 12)
}

function closure(name: string, wanted: RegExp): readonly string[] {
  const flags = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((word) => `--no-${word}`)
  const lines = execute('apt-cache', ['depends', '--recurse', ...flags, name]).split('\n')
  return [...new Set(lines.filter((line) => wanted.test(line)))]
}

const cache = toolFolder(process.env)
mkdirSync(`${cache}/bin`, { recursive: true })
/** Package lists may be missing on a fresh machine; tried once, and only where something needs them. */
let refreshed = false
let missing = 0
for (const [name, tool] of Object.entries(tools)) {
  const folder = `${cache}/${name}-${tool.version}`
  if (existsSync(`${folder}/complete`) && tool.launchers.every((launcher) => existsSync(`${cache}/bin/${launcher}`))) {
    console.log(`${name} ${tool.version}: there`)
    continue
  }
  process.stdout.write(`${name} ${tool.version}: installing ... `)
  try {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    let launchers: Readonly<Record<string, string>>
    try {
      launchers = tool.install(folder)
    } catch (error) {
      if (refreshed || !String(error).includes('apt')) throw error
      refreshed = true
      execute('apt-get', ['update', '-qq'])
      launchers = tool.install(folder)
    }
    for (const [launcher, text] of Object.entries(launchers)) {
      writeFileSync(`${cache}/bin/.${launcher}`, `#!/bin/sh\n${text}\n`)
      chmodSync(`${cache}/bin/.${launcher}`, 0o755)
      renameSync(`${cache}/bin/.${launcher}`, `${cache}/bin/${launcher}`)
    }
    writeFileSync(`${folder}/complete`, '')
    console.log('done')
  } catch (error) {
    missing++
    console.log(`not to be had: ${error instanceof Error ? error.message : String(error)}`)
  }
}
console.log(`tools are in ${cache}/bin`)
if (missing > 0 && process.env.CI === 'true') process.exitCode = 1
