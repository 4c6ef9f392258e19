/** What a row of the matrix pairs: two ends, each ours or konnectivity's of a release, and the way to the server. */
import type { ProgramName } from '../programs/programs.ts'

/** konnectivity's, newest first: all cases run in full with the first, the older ones repeat less. */
export const RELEASES = ['v0.36.0', 'v0.33.0', 'v0.31.4'] as const
export type Release = (typeof RELEASES)[number]
export type Maker = 'ours' | Release

/**
 * How a client reaches the server, as an EgressSelectorConfiguration would say it. In gRPC mode the client is konnectivity's
 * library of that release; from v0.37.0 on it makes one gRPC connection for all dials instead of one for each.
 */
export type Way =
  | { readonly mode: 'http-connect'; readonly transport: 'tls' | 'uds' }
  | { readonly mode: 'grpc'; readonly transport: 'tls' | 'uds'; readonly client: Release | 'v0.37.0' }

export type Pairing = { readonly server: Maker; readonly agent: Maker; readonly way: Way }

/** The server answers `200` before the agent has dialled. */
export const dialsAfterAnswering = ({ server, way }: Pairing): boolean =>
  way.mode === 'http-connect' && (server === 'v0.33.0' || server === 'v0.31.4')

/** What a target says first always comes behind the answer and apart from it; elsewhere it may be lost. */
export const keepsGreetings = (pairing: Pairing): boolean =>
  dialsAfterAnswering(pairing) ||
  (pairing.server === 'ours' && pairing.way.mode === 'http-connect' && pairing.way.transport === 'tls')

export const isOurs = ({ server, agent }: Pairing): boolean => server === 'ours' && agent === 'ours'

export function nameOf({ server, agent, way }: Pairing): string {
  return `server ${server}, agent ${agent}, ${nameOfWay(way)}`
}

export function nameOfWay(way: Way): string {
  const transport = way.transport === 'tls' ? 'TLS' : 'UDS'
  if (way.mode === 'http-connect') return `http-connect, ${transport}`
  return `grpc, ${transport}, client ${way.client}`
}

type Program = 'konnectivity-server' | 'konnectivity-agent' | 'grpc-client'

/** The newest release bears no version in its name. */
export function programOf(program: Program, release: Release | 'v0.37.0'): ProgramName {
  return (release === RELEASES[0] ? program : `${program}-${release}`) as ProgramName
}
