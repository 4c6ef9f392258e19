/**
 * What an agent says of itself when it opens its stream, in gRPC metadata. Pure. Every word is the agent's own, so it is
 * used inside its cluster only. Source: konnectivity's metadata and texts (docs/protocol.md section 1).
 */

export type Registration =
  | {
      readonly kind: 'agent'
      readonly agentId: string
      /** URL query string: ipv4, ipv6, host, cidr, default-route. */
      readonly identifiers: string
      readonly extensions: string | undefined
    }
  | { readonly kind: 'refused'; readonly text: string }

/** Longest id or set of identifiers: characters. The header list as a whole is bounded by HTTP/2. */
const MAX_VALUE_CHARS = 4096

/** @param rawHeaders names and values in turn, as node:http2 gives them: it joins repeated ones in the other form */
export function readRegistration(rawHeaders: readonly string[], extensionsKey: string): Registration {
  const ids = valuesOf(rawHeaders, 'agentid')
  const [agentId] = ids
  if (ids.length !== 1 || agentId === undefined) {
    return refused(`expected one agent ID in the context, got ${goList(ids)}`)
  }
  const sets = valuesOf(rawHeaders, 'agentidentifiers')
  if (sets.length > 1)
    return refused(`expected at most one set of agent identifiers in the context, got ${goList(sets)}`)
  const identifiers = sets[0] ?? ''
  if (agentId.length > MAX_VALUE_CHARS || identifiers.length > MAX_VALUE_CHARS) {
    return refused(`agent ID and agent identifiers must not be longer than ${MAX_VALUE_CHARS} characters`)
  }
  const problem = queryProblem(identifiers)
  if (problem !== undefined) return refused(`fail to parse url encoded string: ${problem}`)
  return { kind: 'agent', agentId, identifiers, extensions: valuesOf(rawHeaders, extensionsKey)[0] }
}

/** As HTTP/2 counts it: RFC 9113 section 6.5.2. Node does not hold a peer to our setting before the peer has acknowledged it. */
export function headerListBytes(rawHeaders: readonly string[]): number {
  const fieldOverhead = 32
  return rawHeaders.reduce((sum, text) => sum + text.length, (rawHeaders.length / 2) * fieldOverhead)
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}

/** The two mistakes that Go's url.ParseQuery refuses and URLSearchParams lets through. */
function queryProblem(text: string): string | undefined {
  if (text.includes(';')) return 'invalid semicolon separator in query'
  const badEscape = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(text)
  return badEscape ? `invalid URL escape ${JSON.stringify(badEscape[0])}` : undefined
}

/** A list as Go's %v prints it. */
const goList = (values: readonly string[]): string => `[${values.map((value) => value.slice(0, 100)).join(' ')}]`
const refused = (text: string): Registration => ({ kind: 'refused', text })
