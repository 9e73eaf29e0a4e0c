import { createInterface, type Interface } from 'node:readline'
import { Writable } from 'node:stream'
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

/** Dispose it, or stdin keeps the program alive. Lines that arrive before their question wait for it. */
export function openPrompt(terminal: Terminal): Prompt {
  return new LinePrompt(terminal)
}

/** Longest answer that is taken. */
const MAX_LINE = 4096

/** What came from stdin and nobody has asked for yet; `end` and `interrupt` answer every question from then on. */
type Arrival = { readonly line: string } | 'end' | 'interrupt'

class LinePrompt implements Prompt {
  readonly isInteractive: boolean
  readonly #stderr: Terminal['stderr']
  readonly #stdin: Terminal['stdin']
  readonly #arrived: Arrival[] = []
  #reader: Interface | undefined
  #echo = false
  #wake = (): void => {}

  constructor({ stdin, stderr }: Terminal) {
    this.#stdin = stdin
    this.#stderr = stderr
    this.isInteractive = stdin.isTTY === true
  }

  async secret(question: string): Promise<Secret> {
    const answer = await this.#ask(question, { echo: false })
    if (this.isInteractive) this.#stderr.write('\n') // the Enter was not echoed either
    return new Secret(answer)
  }

  async line(question: string): Promise<string> {
    return (await this.#ask(question, { echo: true })).trim()
  }

  [Symbol.dispose](): void {
    this.#reader?.close()
    this.#stdin.pause()
  }

  async #ask(question: string, { echo }: { readonly echo: boolean }): Promise<string> {
    const reader = this.#open()
    this.#echo = echo
    if (echo && this.isInteractive) {
      reader.setPrompt(`${question} `) // redrawn by the line editor
      reader.prompt()
    } else {
      this.#stderr.write(this.isInteractive ? `${question} ` : `${question}\n`)
    }
    const arrival = await this.#next()
    if (arrival === 'interrupt') throw new Interrupted()
    if (arrival === 'end') {
      throw new InvalidInput(`the input ended before an answer to "${question}"`, {
        hint: 'run the command in a terminal, or pipe one line for each question',
      })
    }
    if (arrival.line.length > MAX_LINE) {
      throw new InvalidInput(`the answer to "${question}" is too long`, {
        hint: `keep it within ${MAX_LINE} characters`,
      })
    }
    return arrival.line
  }

  async #next(): Promise<Arrival> {
    while (this.#arrived.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    const [first = 'end'] = this.#arrived
    if (typeof first === 'object') this.#arrived.shift()
    return first
  }

  #open(): Interface {
    if (this.#reader !== undefined) return this.#reader
    const [stderr, isEchoed] = [this.#stderr, (): boolean => this.#echo]
    const output = new Writable({
      write(chunk: Buffer, _encoding, done) {
        if (isEchoed()) stderr.write(chunk)
        done()
      },
    })
    const reader = createInterface({
      input: this.#stdin,
      ...(this.isInteractive ? { output } : {}),
      terminal: this.isInteractive, // raw mode: the terminal itself echoes nothing
      historySize: 0,
      crlfDelay: Number.POSITIVE_INFINITY,
    })
    const arrive = (arrival: Arrival): void => {
      this.#arrived.push(arrival)
      this.#wake()
    }
    reader.on('line', (line) => arrive({ line }))
    reader.on('close', () => arrive('end'))
    reader.on('SIGINT', () => arrive('interrupt'))
    this.#reader = reader
    return reader
  }
}
