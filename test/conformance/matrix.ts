/** The rows of the interop matrix. What is not all ours has a release of konnectivity in it, and its library as the client. */
import { type Maker, type Pairing, RELEASES, type Release, type Way } from './pairing.ts'
import type { Repeats } from './play.ts'

export type Row = { readonly pairing: Pairing; readonly repeats: Repeats }

const FULL: Repeats = { greetings: 100, transfersEachWay: 500 }
/** Of the older releases, whose ends behave as the newest one's where anything is counted. */
const SHORT: Repeats = { greetings: 20, transfersEachWay: 100 }

const uds = { transport: 'uds' } as const
const tls = { transport: 'tls' } as const
const byConnect: readonly Way[] = [
  { mode: 'http-connect', ...tls },
  { mode: 'http-connect', ...uds },
]
const grpc = (client: Release | 'v0.37.0', { transport }: Pick<Way, 'transport'> = uds): Way => ({
  mode: 'grpc',
  transport,
  client,
})

const allOurs: readonly Row[] = [
  ...byConnect,
  ...RELEASES.map((client) => grpc(client)),
  grpc('v0.37.0'),
  grpc('v0.36.0', tls), // kube-apiserver has no gRPC over TCP, the library does
  grpc('v0.37.0', tls),
].map((way) => ({ pairing: { server: 'ours', agent: 'ours', way }, repeats: FULL }))

const withStock = (release: Release): Row[] => {
  const newest = release === RELEASES[0]
  const ends: readonly (readonly [Maker, Maker])[] = [
    ['ours', release],
    [release, 'ours'],
    [release, release],
  ]
  const ways = [...byConnect, grpc(release), ...(newest ? [grpc('v0.37.0')] : [])]
  return ends.flatMap(([server, agent]) =>
    ways.map((way) => ({ pairing: { server, agent, way }, repeats: newest ? FULL : SHORT })),
  )
}

export const ROWS: readonly Row[] = [...allOurs, ...RELEASES.flatMap(withStock)]
