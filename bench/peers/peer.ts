/** What the benchmark needs of a server and an agent. A new peer is one file beside this one and a line in options.ts. */
import type { Frontend } from '../load/tunnel.ts'
import type { Places } from '../places.ts'

export type FrontendKind = Frontend['kind']
export type RunningPeer = AsyncDisposable & {
  readonly frontend: Frontend
  /** Where agents connect, in the place of the server. */
  readonly agentPort: number
  readonly certificates: Certificates
  /** Other clusters of the same server, where it has many. */
  readonly neighbours?: Neighbours
  /** Process ids, for memory and processor time. */
  readonly server: number
  readonly agent: number
  /** @throws Error that tells what a program last said, when one has ended */
  readonly assertRunning: () => void
}
export type PeerStart = {
  readonly frontend: FrontendKind
  /** Empty, and for this start only. */
  readonly folder: string
  readonly certificates: Certificates
  readonly places: Places
}
export type Peer = {
  readonly name: string
  readonly what: string
  /**
   * Builds or finds the programs; done once, before anything is measured.
   *
   * @param folder kept until the benchmark ends
   * @throws Error that says what is missing
   */
  readonly prepare: (folder: string) => Promise<void>
  /** Ready when it resolves: the next CONNECT reaches the agent. @throws Skipped where this peer cannot be asked that */
  readonly start: (how: PeerStart) => Promise<RunningPeer>
}

/** Paths of PEM files. One CA for all; a certificate each. */
export type Certificates = {
  readonly ca: string
  readonly server: KeyPair
  readonly agent: KeyPair
  /** What the load shows at the frontend. */
  readonly client: KeyPair
}
export type Neighbours = {
  /** Of their agents. */
  readonly idle: readonly KeyPair[]
  readonly flood: { readonly agent: KeyPair; readonly client: KeyPair }
}
export type KeyPair = { readonly cert: string; readonly key: string }
