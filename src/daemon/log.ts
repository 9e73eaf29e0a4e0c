import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import pino from 'pino'
import { AccessError, InvalidInput } from '#errors.ts'
import type { Log, LogFields } from '#log.ts'
import type { LogConfig } from './config-teleport.ts'

/** The log of this process, and what closes its file. */
export interface OpenLog extends AsyncDisposable {
  readonly log: Log
}

export interface LogOutputs {
  readonly stdout: Writable
  readonly stderr: Writable
}

/**
 * Opens the log: lines of text or of JSON, to a stream or to a file that is created and truncated. Errors are written
 * with their chain of causes and what to do about them, and with their stacks at level debug alone.
 *
 * @throws {InvalidInput} `failed to create the log file`
 */
export async function openLog(config: LogConfig, { stdout, stderr }: LogOutputs): Promise<OpenLog> {
  if (config.output === 'stdout' || config.output === 'stderr') {
    return { log: createLog(config, config.output === 'stdout' ? stdout : stderr), async [Symbol.asyncDispose]() {} }
  }
  const file = await openFile(config.output)
  return {
    log: createLog(config, file),
    async [Symbol.asyncDispose]() {
      file.end()
      await once(file, 'close')
    },
  }
}

async function openFile(path: string): Promise<Writable> {
  try {
    // A log names users and addresses: it is for its owner alone.
    const handle = await open(path, 'w', 0o600)
    return createWriteStream(path, { fd: handle })
  } catch (cause) {
    throw new InvalidInput('failed to create the log file', { hint: `check that ${path} can be written`, cause })
  }
}

/** A log that writes to `stream`; with `clock` of the machine, because it is about this process. */
export function createLog(
  { severity, format, fields }: Pick<LogConfig, 'severity' | 'format' | 'fields'>,
  stream: Writable,
): Log {
  const shown = new Set<string>(fields)
  const isWhole = shown.has('timestamp') && shown.has('level')
  const shaped = (line: string): string => {
    if (format === 'json' && isWhole) return line
    const { timestamp, level, ...rest } = JSON.parse(line) as Entry // written by pino a moment ago
    const entry = {
      ...(shown.has('level') ? { level } : {}),
      ...(shown.has('timestamp') ? { timestamp } : {}),
      ...rest,
    }
    return format === 'json' ? `${JSON.stringify(entry)}\n` : textLine(entry)
  }
  const logger = pino(
    {
      level: severity,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"timestamp":"${new Date().toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    { write: (line) => stream.write(shaped(line)) },
  )
  const withStacks = severity === 'debug'
  const component = (name: string): Log => {
    const write =
      (level: 'debug' | 'info' | 'warn' | 'error') =>
      (message: string, extra: LogFields = {}) => {
        if (!logger.isLevelEnabled(level)) return
        const named = shown.has('component') && name !== '' ? { component: name } : {}
        logger[level]({ ...plain(extra, withStacks), ...named }, message)
      }
    return {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: (inner) => component(name === '' ? inner : `${name}:${inner}`),
    }
  }
  return component('')
}

/** Fields under names of the log itself would be lost; errors have no JSON of their own. */
function plain(fields: LogFields, withStacks: boolean): Record<string, unknown> {
  const hints = Object.values(fields).flatMap((value) => (value instanceof AccessError ? [value.hint] : []))
  return Object.fromEntries([
    ...hints.map((hint) => ['hint', hint]),
    ...Object.entries(fields).map(([key, value]) => [
      ['level', 'message', 'timestamp', 'component'].includes(key) ? `${key}_` : key,
      value instanceof Error ? errorText(value, withStacks) : value,
    ]),
  ])
}

const MAX_CAUSES = 8

function errorText(error: Error, withStack: boolean): string {
  const chain: Error[] = []
  for (let next: unknown = error; next instanceof Error && chain.length < MAX_CAUSES; next = next.cause)
    chain.push(next)
  const first = chain[0]?.stack
  return (withStack && first !== undefined ? [first, ...chain.slice(1).map(String)] : chain.map(String)).join(
    ': caused by ',
  )
}

type Entry = Readonly<Record<string, unknown>>

/** `2030-01-01T00:00:00.000Z INFO  [AUTH] started port:3025` */
function textLine({ timestamp, level, component, message, ...rest }: Entry): string {
  const fields = Object.entries(rest).map(([key, value]) => `${key}:${fieldText(value)}`)
  const parts = [
    timestamp,
    typeof level === 'string' ? level.toUpperCase().padEnd(5) : undefined,
    typeof component === 'string' ? `[${component.toUpperCase()}]` : undefined,
    oneLine(String(message ?? '')),
    ...fields,
  ]
  return `${parts.filter((part) => part !== undefined && part !== '').join(' ')}\n`
}

function fieldText(value: unknown): string {
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'string')
  const text = typeof value === 'string' ? value : isList ? value.join(',') : (JSON.stringify(value) ?? '')
  return /^[\w.:/@+,-]+$/.test(text) ? text : JSON.stringify(text)
}

/** What a peer sent may hold line breaks that would look like other lines of the log. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f]/g, (char) => JSON.stringify(char).slice(1, -1))
}
