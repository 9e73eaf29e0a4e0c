/** Tells what the tour does: chapters, commands with their output, and how long it took. */
import type { Writable } from 'node:stream'
import type { Ran, Shell } from '#test/shell.ts'

/** Prints as it goes. Bold only on a terminal. */
export class Narrator {
  readonly #out: Writable & { readonly isTTY?: boolean }
  readonly #began = performance.now()

  constructor(out: Writable & { readonly isTTY?: boolean }) {
    this.#out = out
  }

  chapter(title: string): void {
    this.#line(`\n${this.#bold(title)}`)
  }

  say(text: string): void {
    this.#line(text)
  }

  did(what: string): void {
    this.#line(`  ${what}  (${this.seconds()} s)`)
  }

  block(lines: readonly string[]): void {
    this.#line(`\n${lines.map((line) => (line === '' ? '' : `  ${line}`)).join('\n')}\n`)
  }

  /**
   * Runs a command as a person would and shows what they would see. @throws when it fails, unless `mayFail`
   * @param options.show how many lines of output to print; all by default
   */
  async run(shell: Shell, command: string, options: RunShown = {}): Promise<Ran> {
    this.#line(`\n${this.#bold(`$ ${command}`)}`)
    const ran = await shell.run(command, options)
    const lines = `${ran.stdout}${ran.stderr}`.trimEnd().split('\n')
    const shown = lines.slice(0, options.show ?? lines.length)
    this.#line(shown.map((line) => `  ${line}`).join('\n'))
    if (shown.length < lines.length) this.#line(`  … (${lines.length - shown.length} more lines)`)
    return ran
  }

  failed(error: unknown): void {
    this.#line(`\nERROR: ${error instanceof Error ? error.message : String(error)}`)
    this.#line('hint: run "npm test" to see which part does not work on this machine')
  }

  seconds(): string {
    return ((performance.now() - this.#began) / 1000).toFixed(1)
  }

  #bold(text: string): string {
    return this.#out.isTTY === true ? `\u001b[1m${text}\u001b[0m` : text
  }

  #line(text: string): void {
    this.#out.write(`${text}\n`)
  }
}

interface RunShown {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly mayFail?: boolean
  readonly show?: number
}
