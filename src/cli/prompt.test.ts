import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { InvalidInput } from '#errors.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { openPrompt } from './prompt.ts'

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
