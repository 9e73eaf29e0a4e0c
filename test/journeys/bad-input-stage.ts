/** What the journeys of bad input share: rows of what somebody does and sees, and a watch for secrets in all of it. */
import assert from 'node:assert/strict'
import type { Shell } from '#test/shell.ts'

/** One thing that goes wrong. The texts are the whole of what a user is told. */
export interface BadInput {
  readonly says: string
  readonly as: Shell
  /** A line of shell. */
  readonly does: string
  /** Typed into it, one answer to a line. */
  readonly types?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The lines that begin with `ERROR:` and `hint:`, in order. */
  readonly sees: readonly string[]
  /** Stands somewhere in the rest of the output. */
  readonly and?: RegExp
  /** Exit code; 1 unless given. `aws`: what the AWS CLI ends with, which differs between its versions. */
  readonly code?: number | 'aws'
}

/** All that was printed, and what must never be in it. */
export class Transcript {
  readonly #printed: string[] = []
  readonly #secrets = new Map<string, string>()

  /** From now on nothing that is printed may hold `value`. */
  forbid(what: string, value: string): void {
    assert.ok(value.length >= 8, `${what} is long enough to look for`)
    this.#secrets.set(what, value)
  }

  add(text: string): void {
    this.#printed.push(text)
  }

  check(): void {
    assert.ok(this.#secrets.size > 0)
    for (const [what, value] of this.#secrets) {
      const leak = this.#printed.find((text) => text.includes(value))
      assert.equal(leak?.replaceAll(value, `[${what}]`), undefined, `${what} was printed`)
    }
    for (const text of this.#printed) assert.doesNotMatch(text, /^ {4}at .*:\d+:\d+\)?$/m, 'no stack trace')
  }
}

/** Runs the rows in order, each as a test. */
export async function playRows(
  context: { test(name: string, work: () => Promise<void>): Promise<void> },
  rows: readonly BadInput[],
  transcript: Transcript,
): Promise<void> {
  for (const row of rows) await context.test(row.says, () => playRow(row, transcript))
}

async function playRow({ as, does, types = [], env = {}, sees, and, code = 1 }: BadInput, transcript: Transcript) {
  const ran = await as.run(does, {
    mayFail: true,
    env,
    timeoutMs: 20_000,
    input: types.map((line) => `${line}\n`).join(''),
  })
  const all = ran.stdout + ran.stderr
  transcript.add(all)
  const said = all.split('\n').filter((line) => /^(ERROR|hint): /.test(line))
  const ended = code === 'aws' && ran.code > 200 ? 'aws' : ran.code
  assert.deepEqual([...said, ended], [...sees, code], all)
  if (and !== undefined) assert.match(all, and)
}

/** Environment in which a program's own clock is off by so many hours; its TLS and all other programs keep the time. */
export function clockOff(hours: number): Readonly<Record<string, string>> {
  const script = `const D = Date, by = ${hours * 3_600_000}
    globalThis.Date = class extends D {
      constructor(...a) { if (a.length === 0) super(D.now() + by); else super(...a) }
      static now() { return D.now() + by }
    }`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
}
