import { BlockList, isIP } from 'node:net'

/** Says whether a connection to `host:port` goes straight instead of through the proxy. */
export type NoProxy = (host: string, port: number) => boolean

/**
 * Parses a `NO_PROXY` list: entries separated by commas or white space, each one of
 * `*` (all), `example.com` (the name and all below it), `.example.com` and `*.example.com` (only names below it),
 * `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`; a name or an address may end in `:port`, an IPv6 address then stands in brackets.
 * The machine itself (`localhost`, 127.0.0.0/8, ::1) always goes straight. What is not understood matches nothing.
 *
 * There is no standard; this is what curl and Go's `httpproxy` agree on.
 */
export function parseNoProxy(list: string): NoProxy {
  const rules = list
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map((entry) => parseEntry(entry.toLowerCase()))
  return (host, port) => {
    const name = bareHost(host)
    return isLoopback(name) || rules.some((rule) => rule(name, port))
  }
}

/** Is it the machine itself? `host` is a name or an address, without brackets. */
function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true
  return isIP(host) !== 0 && loopback.check(host, family(host))
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** `[::1]` and `Example.COM.` to `::1` and `example.com`. */
const bareHost = (host: string): string =>
  host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')

function parseEntry(entry: string): NoProxy {
  if (entry === '*') return () => true
  const subnet = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry)
  if (subnet) return matchSubnet(subnet[1] ?? '', Number(subnet[2]))
  if (isIP(entry) === 6) return matchAddress(entry, undefined)

  const [, host = '', portText] = /^(.*?)(?::(\d{1,5}))?$/.exec(entry) ?? []
  const port = portText === undefined ? undefined : Number(portText)
  const name = bareHost(host)
  if (isIP(name) !== 0) return matchAddress(name, port)
  const isBelow = name.startsWith('.') || name.startsWith('*.')
  const suffix = `.${name.replace(/^\*?\./, '')}`
  if (suffix === '.') return () => false
  return (candidate, candidatePort) =>
    (port === undefined || port === candidatePort) &&
    (candidate.endsWith(suffix) || (!isBelow && candidate === suffix.slice(1)))
}

function matchAddress(address: string, port: number | undefined): NoProxy {
  const set = new BlockList()
  set.addAddress(address, family(address))
  return (host, candidatePort) =>
    (port === undefined || port === candidatePort) && isIP(host) !== 0 && set.check(host, family(host))
}

function matchSubnet(address: string, prefix: number): NoProxy {
  if (isIP(address) === 0 || prefix > (isIP(address) === 6 ? 128 : 32)) return () => false
  const set = new BlockList()
  set.addSubnet(address, prefix, family(address))
  return (host) => isIP(host) !== 0 && set.check(host, family(host))
}
