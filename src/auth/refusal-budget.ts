/**
 * How many refusals of callers who are not known are recorded one by one: each is a durable write that costs an
 * attacker nothing.
 */
export interface RefusalBudget {
  /** What to do with one more: record it, record that the limit is reached, or neither. */
  spend(): 'record' | 'record-limit' | 'drop'
}

const WINDOW_MS = 60_000

export function createRefusalBudget({ perMinute, clock }: { perMinute: number; clock: () => Date }): RefusalBudget {
  let windowStart = Number.NEGATIVE_INFINITY
  let spent = 0
  return {
    spend() {
      const now = clock().getTime()
      if (now - windowStart >= WINDOW_MS || now < windowStart) {
        windowStart = now
        spent = 0
      }
      spent++
      if (spent <= perMinute) return 'record'
      return spent === perMinute + 1 ? 'record-limit' : 'drop'
    },
  }
}
