import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { suite, test } from 'node:test'
import { InvalidInput } from '#errors.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { openPrompt } from './prompt.ts'
import { Interrupted } from './usage-error.ts'

suite('answers that are piped in', () => {
  test('are one line for each question, in the order asked', async () => {
    const terminal = memoryTerminal('correct horse battery\r\n 123456 \n')
    using prompt = openPrompt(terminal)
    assert.equal((await prompt.secret('Enter password for Teleport user alice:')).reveal(), 'correct horse battery')
    assert.equal(await prompt.line('Enter your OTP token:'), '123456')
    assert.equal(terminal.written.stdout(), '')
    assert.equal(terminal.written.stderr(), 'Enter password for Teleport user alice:\nEnter your OTP token:\n')
  })
  test('keep the spaces of a password', async () => {
    using prompt = openPrompt(memoryTerminal('  two spaces  \n'))
    assert.equal((await prompt.secret('?')).reveal(), '  two spaces  ')
  })
  test('that end too early are an error that says how to answer', async () => {
    using prompt = openPrompt(memoryTerminal('only one\n'))
    await prompt.secret('first')
    await assert.rejects(prompt.secret('second'), /the input ended before an answer to "second"/)
  })
  test('have a greatest length', async () => {
    using prompt = openPrompt(memoryTerminal(`${'x'.repeat(5000)}\n`))
    await assert.rejects(prompt.secret('?'), InvalidInput)
  })
})

suite('answers of a person', () => {
  const typed = () => {
    const keys = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => {} })
    const { stdout, stderr, written } = memoryTerminal()
    return { keys, written, prompt: openPrompt({ stdin: keys, stdout, stderr }) }
  }
  test('to a secret question are not echoed, others are', async () => {
    const { keys, written, prompt } = typed()
    using _ = prompt
    const password = prompt.secret('Password:')
    keys.write('hunx\u007fter2\r')
    assert.equal((await password).reveal(), 'hunter2')
    assert.equal(written.stderr(), 'Password: \n')
    const name = prompt.line('Name:')
    keys.write('phone\r')
    assert.equal(await name, 'phone')
    assert.match(written.stderr(), /Name: .*phone/s)
    assert.equal(written.stdout(), '')
  })
  test('that were typed ahead wait for their question', async () => {
    const { keys, prompt } = typed()
    using _ = prompt
    const first = prompt.secret('1')
    keys.write('one\rtwo\r')
    assert.equal((await first).reveal(), 'one')
    assert.equal((await prompt.secret('2')).reveal(), 'two')
  })
  test('end with Ctrl-C and with Ctrl-D', async () => {
    for (const [key, thrown] of [
      ['\u0003', Interrupted],
      ['\u0004', InvalidInput],
    ] as const) {
      const { keys, prompt } = typed()
      using _ = prompt
      const answer = prompt.secret('?')
      keys.write(key)
      await assert.rejects(answer, thrown)
    }
  })
})
