import type { ResourceCache } from '#cache/resource-cache.ts'
import type { ServedNames } from '#join/served-names.ts'
import type { Log } from '#log.ts'
import { product } from '#product.ts'
import { labelsOf } from '#rbac/decide-app.ts'
import { compileLabels, createKeyTests, type LabelMatcher, type Selector } from '#rbac/labels.ts'
import { type App, parseApp } from '#resources/app.ts'
import { type DynamicLabels, startDynamicLabels } from './dynamic-labels.ts'

/** The apps of one agent: those of its configuration file and those of the cluster whose labels it asked for. */
export interface ServedApps extends AsyncDisposable {
  list(): readonly App[]
  find(name: string): App | undefined
  /** Name of the app that is reached under this SNI. */
  under(serverName: string): string | undefined
  /** Learns the server names of apps that are new, and gives the apps that have one: those that can be reached. */
  learnNames(): Promise<readonly App[]>
}

export interface ServedAppsOptions {
  /** From the configuration file. */
  readonly apps: readonly App[]
  /** Which apps of the cluster are served beside them: those that fit one of these. */
  readonly resourceLabels: readonly Selector[]
  readonly cache: ResourceCache
  readonly names: ServedNames
  /** Called when an app has come, gone or changed. */
  readonly onChange: () => void
  readonly log: Log
}

export function startServedApps(options: ServedAppsOptions): ServedApps {
  return new AppRegistry(options)
}

const ORIGIN = `${product.labelPrefix}origin`

class AppRegistry implements ServedApps {
  readonly #options: ServedAppsOptions
  readonly #matchers: readonly LabelMatcher[]
  readonly #subscription: Disposable
  readonly #dynamicLabels: DynamicLabels
  #apps = new Map<string, App>()
  readonly #serverNames = new Map<string, string>()

  constructor(options: ServedAppsOptions) {
    this.#options = options
    const tests = createKeyTests()
    this.#matchers = options.resourceLabels.map((selector) =>
      compileLabels({ side: 'allow', selector, traits: {}, tests }),
    )
    this.#dynamicLabels = startDynamicLabels({ apps: options.apps, onChange: () => this.#rebuild(), log: options.log })
    this.#rebuild()
    this.#subscription = options.cache.onChange(({ kind }) => {
      if (kind === 'app') this.#rebuild()
    })
  }

  list(): readonly App[] {
    return [...this.#apps.values()]
  }

  find(name: string): App | undefined {
    return this.#apps.get(name)
  }

  under(serverName: string): string | undefined {
    const name = this.#serverNames.get(serverName.toLowerCase())
    return name !== undefined && this.#apps.has(name) ? name : undefined
  }

  async learnNames(): Promise<readonly App[]> {
    const { names, log } = this.#options
    const known = new Set(this.#serverNames.values())
    const missing = [...this.#apps.keys()].filter((name) => !known.has(name))
    await Promise.all(
      missing.map(async (name) => {
        try {
          const { serverName } = await names.contextFor('app', name)
          this.#serverNames.set(serverName.toLowerCase(), name)
        } catch (error) {
          log.warn('no certificate for an app: it is not served yet', { app: name, error })
        }
      }),
    )
    const named = new Set(this.#serverNames.values())
    return this.list().filter(({ metadata }) => named.has(metadata.name))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]()
    await this.#dynamicLabels[Symbol.asyncDispose]()
  }

  #rebuild(): void {
    const { apps, cache, names, onChange } = this.#options
    const next = new Map<string, App>()
    for (const app of cache.list<App>('app')) {
      if (this.#matchers.some((fits) => fits(labelsOf(app)))) next.set(app.metadata.name, withOrigin(app, 'dynamic'))
    }
    // What the configuration file says wins over a resource of the same name.
    for (const app of apps) next.set(app.metadata.name, withOrigin(this.#dynamicLabels.apply(app), 'config-file'))
    for (const name of this.#apps.keys()) {
      if (next.has(name)) continue
      names.forget('app', name)
      for (const [serverName, app] of this.#serverNames) if (app === name) this.#serverNames.delete(serverName)
    }
    const hasChanged = JSON.stringify([...next]) !== JSON.stringify([...this.#apps])
    this.#apps = next
    if (hasChanged) onChange()
  }
}

/** Says who owns the app, as the reference's label does. The resource's revision is left out: it says nothing about the app. */
function withOrigin(app: App, origin: 'config-file' | 'dynamic'): App {
  const { revision: _, ...metadata } = app.metadata
  return parseApp({ ...app, metadata: { ...metadata, labels: { ...metadata.labels, [ORIGIN]: origin } } })
}
