import { createInterface, type Interface } from 'node:readline'
import { InvalidInput } from '#errors.ts'
import { Secret } from '#secret.ts'
import type { Terminal } from './terminal.ts'
import { Interrupted } from './usage-error.ts'

/**
 * Asks the person at the terminal, or reads what a script pipes in: one line for each question, in the order asked.
 * Questions go to stderr, so that stdout stays what the command is for.
 */
export interface Prompt extends Disposable {
  /** Reads without echo. @throws {InvalidInput} when the input ends first. @throws {Interrupted} on Ctrl-C */
  secret(question: string): Promise<Secret>
  /** Reads with echo. @throws {InvalidInput} when the input ends first. @throws {Interrupted} on Ctrl-C */
  line(question: string): Promise<string>
  /** Whether a person answers. */
  readonly isInteractive: boolean
}

/** Dispose it, or a piped stdin keeps the program alive. */
export function openPrompt(terminal: Terminal): Prompt {
  return terminal.stdin.isTTY === true ? interactivePrompt(terminal) : pipedPrompt(terminal)
}

/** Longest line that is taken from a pipe. */
const MAX_LINE = 4096

function interactivePrompt({ stdin, stderr }: Terminal): Prompt {
  /** No marks and no colours, so that the question reads as the guides print it. */
  const theme = { prefix: '', style: { message: (text: string) => text, answer: (text: string) => text } }
  const asked = async (question: (context: object) => Promise<string>): Promise<string> => {
    try {
      return await question({ input: stdin, output: stderr })
    } catch (error) {
      if (error instanceof Error && error.name === 'ExitPromptError') throw new Interrupted()
      throw error
    }
  }
  return {
    isInteractive: true,
    async secret(message) {
      const { password } = await import('@inquirer/prompts')
      return new Secret(await asked((context) => password({ message, theme }, context)))
    },
    async line(message) {
      const { input } = await import('@inquirer/prompts')
      return asked((context) => input({ message, theme }, context))
    },
    [Symbol.dispose]() {},
  }
}

function pipedPrompt({ stdin, stderr }: Terminal): Prompt {
  let reader: Interface | undefined
  let lines: AsyncIterator<string> | undefined
  const next = async (question: string): Promise<string> => {
    stderr.write(`${question}\n`)
    reader ??= createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY, terminal: false })
    lines ??= reader[Symbol.asyncIterator]()
    const { value, done } = await lines.next()
    if (done === true) {
      throw new InvalidInput(`the input ended before an answer to "${question}"`, {
        hint: 'run the command in a terminal, or pipe one line for each question',
      })
    }
    if (value.length > MAX_LINE) {
      throw new InvalidInput(`the answer to "${question}" is too long`, {
        hint: `keep it within ${MAX_LINE} characters`,
      })
    }
    return value
  }
  return {
    isInteractive: false,
    secret: async (question) => new Secret(await next(question)),
    line: async (question) => (await next(question)).trim(),
    [Symbol.dispose]() {
      reader?.close()
    },
  }
}
