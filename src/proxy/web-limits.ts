import rateLimit, { type FastifyRateLimitStore } from '@fastify/rate-limit'
import type { FastifyInstance } from 'fastify'
import type { Clock } from '#clock.ts'
import { LimitExceeded } from '#errors.ts'
import type { ProxyLimits } from './config.ts'
import { limitKey, TokenBuckets } from './token-buckets.ts'

/** Which of the limits for one client address a route is under: `config: { limit: 'normal' }`. */
type LimitName = 'normal' | 'high'

declare module 'fastify' {
  interface FastifyContextConfig {
    limit?: LimitName
  }
}

/** Puts routes that name a limit under it. Call before the routes are added. All routes of one limit share its buckets. */
export async function addWebLimits(
  app: FastifyInstance,
  limits: Pick<ProxyLimits, LimitName>,
  clock: Clock,
): Promise<void> {
  const buckets = { normal: new TokenBuckets(limits.normal, clock), high: new TokenBuckets(limits.high, clock) }
  app.addHook('onRoute', (route) => {
    const { limit } = route.config ?? {}
    if (limit !== undefined) route.config = { ...route.config, rateLimit: { max: 1, groupId: limit } }
  })
  await app.register(rateLimit, {
    global: false,
    keyGenerator: ({ ip }) => limitKey(ip),
    store: storeOf(buckets),
    errorResponseBuilder: (_request, { after }) =>
      new LimitExceeded('too many requests from this address', { hint: `try again in ${after}` }),
  })
}

/** The plug-in counts in windows; ours fill up steadily, and so allow a burst and a lower lasting rate. */
function storeOf(buckets: Readonly<Record<LimitName, TokenBuckets>>): new () => FastifyRateLimitStore {
  return class Store implements FastifyRateLimitStore {
    #limit: LimitName = 'normal'

    incr(key: string, callback: Parameters<FastifyRateLimitStore['incr']>[1], _window: number, max: number): void {
      const isAllowed = buckets[this.#limit].take(key)
      callback(null, { current: isAllowed ? max : max + 1, ttl: Math.ceil(buckets[this.#limit].waitMs(key)) })
    }

    child(options: object): FastifyRateLimitStore {
      const store = new Store()
      if ('groupId' in options && options.groupId === 'high') store.#limit = 'high'
      return store
    }
  }
}
