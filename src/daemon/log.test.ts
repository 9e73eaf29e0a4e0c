import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { suite, test } from 'node:test'
import { InvalidInput } from '#errors.ts'
import { Secret } from '#secret.ts'
import { createLog, openLog } from './log.ts'

const fields = ['timestamp', 'component', 'level'] as const

function lines(
  settings: Partial<Parameters<typeof createLog>[0]>,
  write: (log: ReturnType<typeof createLog>) => void,
): string {
  const stream = new PassThrough()
  write(createLog({ severity: 'info', format: 'text', fields: ['component', 'level'], ...settings }, stream))
  return String(stream.read() ?? '')
}

suite('a line of text', () => {
  for (const [says, write, line] of [
    [
      'has level, component, message and fields',
      (log: ReturnType<typeof createLog>) =>
        log
          .child('proxy')
          .child('web')
          .info('started', { port: 3080, of: ['a', 'b'] }),
      'INFO  [PROXY:WEB] started port:3080 of:a,b\n',
    ],
    [
      'quotes what has spaces',
      (log: ReturnType<typeof createLog>) => log.warn('odd', { name: 'a b' }),
      'WARN  odd name:"a b"\n',
    ],
    [
      'keeps line breaks of peers on one line',
      (log: ReturnType<typeof createLog>) => log.error('bad\nINFO  forged', { at: 'x\ny' }),
      'ERROR bad\\nINFO  forged at:"x\\ny"\n',
    ],
    [
      'shows no secret',
      (log: ReturnType<typeof createLog>) => log.info('login', { password: new Secret('hunter2') }),
      'INFO  login password:"[secret]"\n',
    ],
    [
      'has errors with their causes',
      (log: ReturnType<typeof createLog>) =>
        log.warn('failed', { error: new Error('a', { cause: new TypeError('b') }) }),
      'WARN  failed error:"Error: a: caused by TypeError: b"\n',
    ],
    [
      'says what to do about an error',
      (log: ReturnType<typeof createLog>) =>
        log.warn('failed', { error: new InvalidInput('no port', { hint: 'set one' }) }),
      'WARN  failed hint:"set one" error:"InvalidInput: no port"\n',
    ],
    ['leaves out what is below the severity', (log: ReturnType<typeof createLog>) => log.debug('x'), ''],
    [
      'loses no field to a name of its own',
      (log: ReturnType<typeof createLog>) => log.info('x', { level: 'gold', message: 'm' }),
      'INFO  x level_:gold message_:m\n',
    ],
  ] as const) {
    test(says, () => assert.equal(lines({}, write), line))
  }
  test('has a stack at level debug alone', () => {
    assert.match(
      lines({ severity: 'debug' }, (log) => log.debug('x', { error: new Error('a') })),
      /log\.test\.ts/,
    )
  })
})

test('JSON has the names of the reference', () => {
  const line = lines({ format: 'json', fields }, (log) => log.child('auth').info('ready', { port: 1 }))
  const { timestamp, ...rest } = JSON.parse(line) as Record<string, unknown>
  assert.match(String(timestamp), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  assert.deepEqual(rest, { level: 'info', component: 'auth', message: 'ready', port: 1 })
})

suite('a log file', () => {
  test('is made anew, for its owner alone', async () => {
    await using directory = await temporary()
    const output = join(directory.path, 'x.log')
    for (const message of ['first', 'second']) {
      await using opened = await openLog({ output, severity: 'info', format: 'text', fields: [] }, process)
      opened.log.info(message)
    }
    assert.equal(await readFile(output, 'utf8'), 'second\n')
    assert.equal((await stat(output)).mode & 0o777, 0o600)
  })
  test('that cannot be made stops the start', async () => {
    const config = { output: '/nowhere/at/all.log', severity: 'info', format: 'text', fields: [] } as const
    await assert.rejects(openLog(config, process), { name: 'InvalidInput', message: 'failed to create the log file' })
  })
})

async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'daemon-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}
