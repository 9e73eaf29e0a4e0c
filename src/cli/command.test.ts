import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { suite, test } from 'node:test'
import { Command } from 'commander'
import { AccessDenied } from '#errors.ts'
import { collectList, parsePairs, runProgram } from './command.ts'
import { completionScript } from './completion.ts'
import { addNamedCommand } from './lazy-command.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { ExitWith, Interrupted, UsageError } from './usage-error.ts'

/** A program with every form of command that ours have; `seen` is what its actions were given. */
function sample() {
  const seen: unknown[] = []
  const note = (...args: unknown[]): void => {
    seen.push(args.slice(0, -2)) // without options and the command itself
  }
  const program = new Command('tool')
    .enablePositionalOptions()
    .option('--proxy <address>', 'where')
    .option('-c, --config <file>', 'file')
  program
    .command('login')
    .option('--user <name>', 'who')
    .action((_: unknown, self: Command) => {
      seen.push(self.optsWithGlobals())
    })
  const apps = program.command('apps').alias('app').description('apps')
  apps.command('ls').argument('[labels]').action(note)
  program.command('aws').argument('[args...]').passThroughOptions().action(note)
  program.command('fails').action(() => {
    throw new AccessDenied('you may not', { hint: 'ask somebody', cause: new Error('role "x" denies it') })
  })
  program.command('child').action(() => {
    throw new ExitWith(7)
  })
  program.command('ctrl-c').action(() => {
    throw new Interrupted()
  })
  return { program, seen }
}

async function run(...argv: string[]) {
  const { program, seen } = sample()
  const terminal = memoryTerminal()
  const code = await runProgram(program, argv, { terminal })
  return { code, seen, stdout: terminal.written.stdout(), stderr: terminal.written.stderr() }
}

suite('how every program behaves', () => {
  test('an option of the program stands before or after the command', async () => {
    for (const argv of [
      ['--proxy=a', 'login', '--user=b'],
      ['login', '--proxy=a', '--user=b'],
      ['login', '--user', 'b', '--proxy', 'a'],
    ]) {
      assert.deepEqual((await run(...argv)).seen, [{ proxy: 'a', user: 'b', color: true }], argv.join(' '))
    }
  })
  test('a command that passes options through takes its own only before the first argument', async () => {
    assert.deepEqual((await run('aws', '--debug', 's3', 'ls', '--debug', '-c', 'x')).seen, [
      [['s3', 'ls', '--debug', '-c', 'x']],
    ])
  })
  test('a misspelt option names the nearest and ends with 2', async () => {
    const { code, stderr } = await run('login', '--usr=a')
    assert.equal(code, 2)
    assert.equal(stderr, "ERROR: unknown option '--usr=a'\nhint: did you mean --user?\n")
  })
  test('a misspelt command names the nearest', async () => {
    const { code, stderr } = await run('logn')
    assert.equal(code, 2)
    assert.equal(stderr, "ERROR: unknown command 'logn'\nhint: did you mean login?\n")
  })
  test('an argument too many is refused with the way to the help', async () => {
    const { code, stderr } = await run('apps', 'ls', 'a', 'b')
    assert.equal(code, 2)
    assert.match(stderr, /hint: run "tool apps ls --help"/)
  })
  test('a group without a command shows its help on stderr and ends with 2', async () => {
    const { code, stdout, stderr } = await run('app')
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /Usage: tool apps\|app[\s\S]*ERROR: a command is missing\nhint: /)
  })
  test('help that was asked for goes to stdout and ends with 0', async () => {
    const { code, stdout, stderr } = await run('login', '--help')
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /--user <name>/)
  })
  test('an error is printed with its hint, and without its cause', async () => {
    const { code, stderr } = await run('fails')
    assert.deepEqual([code, stderr], [1, 'ERROR: you may not\nhint: ask somebody\n'])
  })
  test('--debug adds the cause and the stack', async () => {
    assert.match((await run('fails', '--debug')).stderr, /role "x" denies it/)
  })
  test('the exit code of a child program is passed on in silence', async () => {
    const { code, stderr } = await run('child')
    assert.deepEqual([code, stderr], [7, ''])
  })
  test('Ctrl-C ends with 130 and without a stack', async () => {
    const { code, stderr } = await run('ctrl-c')
    assert.deepEqual([code, stderr], [130, '\n'])
  })
})

suite('lists and pairs on a command line', () => {
  test('a list may be repeated and separated by commas', () =>
    assert.deepEqual(collectList(' c ,d,', ['a', 'b']), ['a', 'b', 'c', 'd']))
  test('pairs are trimmed', () => assert.deepEqual(parsePairs('env = prod, a=b=c'), { env: 'prod', a: 'b=c' }))
  for (const text of ['', 'a', '=b', 'a=1,b']) {
    test(`${JSON.stringify(text)} is no list of pairs`, () => assert.throws(() => parsePairs(text), UsageError))
  }
})

suite('commands that load when they are named', () => {
  const loaded = async (...argv: string[]): Promise<readonly string[]> => {
    const program = new Command('tool').option('--proxy <address>', 'where')
    const lazy = ['login', 'status'].map((name) => ({ names: [name], load: async () => new Command(name) }))
    await addNamedCommand(program, lazy, argv)
    return program.commands.map((command) => command.name())
  }
  test('the named one alone', async () => assert.deepEqual(await loaded('status', 'login'), ['status']))
  test('also after an option with a value', async () =>
    assert.deepEqual(await loaded('--proxy', 'login', 'status'), ['status']))
  test('all for help, and for a name that is none', async () => {
    assert.deepEqual(await loaded('--help'), ['login', 'status'])
    assert.deepEqual(await loaded('stauts'), ['login', 'status'])
  })
})

suite('completion', () => {
  test('bash completes commands and options', () => {
    const script = completionScript(sample().program, 'bash')
    const ask = `${script}\nCOMP_WORDS=(tool apps l); COMP_CWORD=2; _tool_complete; echo "\${COMPREPLY[@]}"`
    assert.equal(spawnSync('bash', ['-c', ask], { encoding: 'utf8' }).stdout, 'ls\n')
  })
  test('another shell is refused by name', () =>
    assert.throws(() => completionScript(sample().program, 'csh'), /"csh"/))
})
