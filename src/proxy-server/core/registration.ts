/**
 * What an agent says of itself when it opens its stream, in gRPC metadata. Pure. Every word is the agent's own, so it is
 * used inside its cluster only. Source: konnectivity's metadata and texts (docs/protocol.md section 1).
 */
import { type Identifiers, readIdentifiers } from './identifiers.ts'

export type Registration =
  | {
      readonly kind: 'agent'
      readonly agentId: string
      readonly identifiers: Identifiers
      readonly extensions: string | undefined
    }
  | { readonly kind: 'refused'; readonly text: string }

/** Longest id: characters. Identifiers are bounded by the header list, and in all by --max-identifiers-per-identity. */
const MAX_ID_CHARS = 4096

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
  if (agentId.length > MAX_ID_CHARS) return refused(`agent ID must not be longer than ${MAX_ID_CHARS} characters`)
  const read = readIdentifiers(sets[0] ?? '')
  if ('problem' in read) return refused(`fail to parse url encoded string: ${read.problem}`)
  return { kind: 'agent', agentId, identifiers: read.identifiers, extensions: valuesOf(rawHeaders, extensionsKey)[0] }
}

/** As HTTP/2 counts it: RFC 9113 section 6.5.2. Node does not hold a peer to our setting before the peer has acknowledged it. */
export function headerListBytes(rawHeaders: readonly string[]): number {
  const fieldOverhead = 32
  return rawHeaders.reduce((sum, text) => sum + text.length, (rawHeaders.length / 2) * fieldOverhead)
}

/** All values of a header, by its name in lower case. */
export function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}

/** A list as Go's %v prints it. */
const goList = (values: readonly string[]): string => `[${values.map((value) => value.slice(0, 100)).join(' ')}]`
const refused = (text: string): Registration => ({ kind: 'refused', text })
