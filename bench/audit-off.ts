/**
 * Loaded into an agent with `--import`: its events go nowhere. It takes the place of the module that opens the spool, so
 * the product itself has no way to turn the audit log off.
 */
import { registerHooks } from 'node:module'
import type { RemoteEmitterOptions } from '#audit/remote-emitter.ts'
import type { Spool } from '#audit/spool.ts'

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === '#audit/remote-emitter.ts' ? { url: import.meta.url, shortCircuit: true } : next(specifier, context),
})

/** In the place of `openRemoteEmitter`. */
export async function openRemoteEmitter(_options: RemoteEmitterOptions): Promise<Spool> {
  return {
    async emit() {},
    intend: async () => ({ async complete() {} }),
    pending: () => 0,
    async drain() {},
    async [Symbol.asyncDispose]() {},
  }
}
