import type { AppView } from '#client/visible-app.ts'
import { parseAppQuery } from './app-query.ts'

/** Which apps a list shows: all three must hold. */
export interface AppFilter {
  readonly labels: Readonly<Record<string, string>>
  /** In lower case. */
  readonly words: readonly string[]
  readonly query: (app: AppView) => boolean
}

/** Reads the options of a list. @throws {UsageError} for a query that cannot be read */
export function parseAppFilter({ labels, search, query }: FilterOptions): AppFilter {
  const words = (search ?? '')
    .split(',')
    .map((word) => word.trim().toLowerCase())
    .filter((word) => word !== '')
  return { labels, words, query: query === undefined ? () => true : parseAppQuery(query) }
}

export interface FilterOptions {
  readonly labels: Readonly<Record<string, string>>
  /** Words or phrases separated by commas, each of which must occur. */
  readonly search?: string | undefined
  readonly query?: string | undefined
}

/** Whether a list shows the app. */
export function matchesApp(app: AppView, { labels, words, query }: AppFilter): boolean {
  const texts = [app.name, app.description, app.publicAddr, app.cloud, ...Object.entries(app.labels).flat()]
  return (
    Object.entries(labels).every(([key, value]) => app.labels[key] === value) &&
    words.every((word) => texts.some((text) => text.toLowerCase().includes(word))) &&
    query(app)
  )
}
