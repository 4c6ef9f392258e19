/**
 * What Culvert adds to konnectivity's protocol, negotiated in metadata: the agent offers names, the server answers with
 * those it takes. A peer that says nothing is a stock one and is never sent any of it.
 * Pure. Source: docs/protocol.md section 2.
 */

/** Wire name of the metadata entry, on the request and on the answer. */
export const EXTENSIONS_KEY = 'culvert-extensions'

/** Longest entry that is read: bytes. Ours is under 200. */
const MAX_ENTRY_BYTES = 1024

const versions = {
  'flow-control': 1,
  'half-close': 1,
  heartbeat: 1,
  'close-reason': 1,
  ping: 1,
  'going-away': 1,
  lanes: 1,
  'new-certificate': 1,
  'new-token': 1,
  policy: 1,
  servers: 1,
} as const

export type Extension = keyof typeof versions
export type Extensions = ReadonlySet<Extension>

/** What this version of both our ends can do. */
export const offered: Extensions = new Set<Extension>([
  'flow-control',
  'half-close',
  'heartbeat',
  'close-reason',
  'ping',
  'going-away',
  'lanes',
  'new-certificate',
  'new-token',
  'policy',
  'servers',
])

export const without = (extensions: Extensions, ...names: readonly Extension[]): Extensions =>
  extensions.difference(new Set(names))

/** What lanes need besides: bytes that wait for their turn are bounded by credit, and CLOSE_* never stands behind data. */
export const canUseLanes = (extensions: Extensions): boolean =>
  (['lanes', 'flow-control', 'half-close', 'close-reason', 'ping'] as const).every((name) => extensions.has(name))

export const noExtensions: Extensions = new Set()

export const writeExtensions = (extensions: Extensions): string =>
  [...extensions].map((name) => `${name}/${versions[name]}`).join(',')

/** The names both sides know, in the same version. Anything else in the entry is ignored. */
export function readExtensions(entry: string | undefined, ours: Extensions = offered): Extensions {
  if (entry === undefined || entry.length > MAX_ENTRY_BYTES) return noExtensions
  const theirs = new Set(entry.split(',').map((item) => item.trim()))
  return new Set([...ours].filter((name) => theirs.has(`${name}/${versions[name]}`)))
}
