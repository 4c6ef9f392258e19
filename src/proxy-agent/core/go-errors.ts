/**
 * Why a dial failed, in the words of Go's net package. Pure.
 *
 * The text crosses the wire as it is, and a stock konnectivity server maps it to a status by substring ("i/o timeout",
 * "too many open files"); people know it from every other Kubernetes log. Seen with Go 1.26's `net.DialTimeout`.
 */

/** What Node's errors have; everything is optional because anything can be thrown. */
type SystemError = {
  readonly code?: unknown
  readonly message?: unknown
  readonly errors?: unknown
  readonly address?: unknown
  readonly port?: unknown
}

/** @param address host:port as it was sent, or the part of it that is wrong */
export function addressErrorText(address: string, why: string): string {
  return `dial tcp: address ${shown(address)}: ${why}`
}

/** Go would look a port that is no number up among the names of services; here none has a name. */
export function portErrorText(port: string, protocol: string): string {
  if (/^[+-]?\d*$/.test(port)) return addressErrorText(port, 'invalid port')
  return `dial tcp: lookup ${protocol}/${shown(port)}: unknown port`
}

/** @param error what `dns.lookup` failed with */
export function lookupErrorText(host: string, error: unknown): string {
  const { code, message } = rootOf(error)
  const words = LOOKUP_WORDS[String(code)] ?? ERRNO_WORDS[String(code)] ?? String(message ?? code)
  return `dial tcp: lookup ${shown(host)}: ${words}`
}

/** Like Go, tells of the first failure when several addresses of one name were tried. */
export function connectErrorText(address: string, error: unknown): string {
  const root = rootOf(error)
  const tried = root.address === undefined ? address : hostPort(String(root.address), Number(root.port ?? 0))
  const code = String(root.code)
  if (code === 'ETIMEDOUT') return timeoutText(tried)
  if (code === 'EMFILE' || code === 'ENFILE') return `dial tcp ${shown(tried)}: socket: ${ERRNO_WORDS[code]}`
  return `dial tcp ${shown(tried)}: connect: ${ERRNO_WORDS[code] ?? String(root.message ?? root.code)}`
}

/** @param address host:port that did not answer */
export function timeoutText(address: string): string {
  return `dial tcp ${shown(address)}: i/o timeout`
}

export function lookupTimeoutText(host: string): string {
  return `dial tcp: lookup ${shown(host)}: i/o timeout`
}

/** @param host a name or an address, IPv6 without brackets */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A text of a dial over tcp as Go words it where only one family was asked for: tcp4 or tcp6. */
export function namingProtocol(text: string, protocol: string): string {
  return text.replace(/^dial tcp\b/, `dial ${protocol}`)
}

/** One line of printable ASCII: the text may hold what an unknown client sent, and is logged on both ends. */
export function shown(text: string): string {
  const printable = text.replace(/[^ -~]/g, '?')
  return printable.length <= MAX_SHOWN_CHARS ? printable : `${printable.slice(0, MAX_SHOWN_CHARS)}...`
}

const MAX_SHOWN_CHARS = 270 // a DNS name with brackets and port fits

/** The first error that is no bundle: Node gives an AggregateError when it tried several addresses itself. */
function rootOf(error: unknown): SystemError {
  let root: unknown = error
  for (let depth = 0; depth < 4; depth++) {
    const bundled: unknown = (root as SystemError | undefined)?.errors
    if (!Array.isArray(bundled) || bundled.length === 0) break
    root = bundled[0]
  }
  return typeof root === 'object' && root !== null ? root : { message: String(root) }
}

const LOOKUP_WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'Temporary failure in name resolution', // as Go says it when it uses the C library
  EAI_FAIL: 'Non-recoverable failure in name resolution',
  EINVAL: 'no such host', // a name too long to be one
  ETIMEDOUT: 'i/o timeout',
}

const ERRNO_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'cannot assign requested address',
  EAFNOSUPPORT: 'address family not supported by protocol',
  ECONNABORTED: 'software caused connection abort',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EHOSTDOWN: 'host is down',
  EHOSTUNREACH: 'no route to host',
  EINVAL: 'invalid argument',
  EMFILE: 'too many open files',
  ENETDOWN: 'network is down',
  ENETUNREACH: 'network is unreachable',
  ENFILE: 'too many open files in system',
  ENOBUFS: 'no buffer space available',
  ENOMEM: 'cannot allocate memory',
  EPERM: 'operation not permitted',
}
