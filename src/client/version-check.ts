/** Whether a client may talk to a cluster: fine, fine for now, or not. */
export type VersionCheck =
  | { readonly kind: 'ok' }
  | { readonly kind: 'warn'; readonly message: string }
  | { readonly kind: 'refuse'; readonly message: string; readonly hint: string }

/**
 * Compares the client's version with what the cluster answers to a ping. A cluster serves clients of its own major
 * version and of the one before, from `minClient` on; a client of a newer major is refused too.
 * What cannot be read as a version counts as fine: the cluster itself still refuses what it does not know.
 */
export function checkVersion({ client, server, minClient }: Versions): VersionCheck {
  const [own, theirs, oldest] = [parseVersion(client), parseVersion(server), parseVersion(minClient)]
  if (own === undefined || theirs === undefined) return { kind: 'ok' }
  if (oldest !== undefined && compareVersions(own, oldest) < 0) {
    return {
      kind: 'refuse',
      message: `this client is version ${client}, the cluster needs ${minClient} or newer`,
      hint: `install version ${server} of the client, or give --skip-version-check to try nevertheless`,
    }
  }
  if (own.numbers[0] > theirs.numbers[0]) {
    return {
      kind: 'refuse',
      message: `this client is version ${client}, newer than the cluster's ${server}`,
      hint: `install version ${server} of the client, or give --skip-version-check to try nevertheless`,
    }
  }
  if (own.numbers[0] < theirs.numbers[0]) {
    return {
      kind: 'warn',
      message: `this client is version ${client}, the cluster ${server}: the cluster's next major version will refuse it`,
    }
  }
  return { kind: 'ok' }
}

export interface Versions {
  readonly client: string
  readonly server: string
  /** Oldest client that the cluster serves. */
  readonly minClient: string
}

interface Version {
  readonly numbers: readonly [major: number, minor: number, patch: number]
  readonly isPreRelease: boolean
}

/** `1.2.3` or `1.2.3-rc.1`. @see Semantic Versioning 2.0.0, section 2 and 9 */
function parseVersion(text: string): Version | undefined {
  const matched = /^v?(\d{1,6})\.(\d{1,6})\.(\d{1,6})(-[0-9A-Za-z.-]+)?(?:\+.*)?$/.exec(text)
  if (matched === null) return undefined
  return {
    numbers: [Number(matched[1]), Number(matched[2]), Number(matched[3])],
    isPreRelease: matched[4] !== undefined,
  }
}

/** Semantic Versioning 2.0.0, section 11; pre-releases of one version count as equal. */
function compareVersions(a: Version, b: Version): number {
  for (const index of [0, 1, 2] as const) {
    if (a.numbers[index] !== b.numbers[index]) return a.numbers[index] - b.numbers[index]
  }
  return Number(b.isPreRelease) - Number(a.isPreRelease)
}
