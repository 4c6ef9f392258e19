/** Where a cell of the matrix is not `ok`, what it is then, and why. A cell that is neither fails. */
import { dialsAfterAnswering, keepsGreetings, type Pairing } from './pairing.ts'
import { type Case, hasHalfClose } from './play.ts'

export type Difference = {
  readonly cases: readonly Case[]
  readonly when: (pairing: Pairing) => boolean
  readonly seen: RegExp
  readonly why: string
}

const byConnect = ({ way }: Pairing): boolean => way.mode === 'http-connect'

/** In the order of their numbers in the table. */
export const DIFFERENCES: readonly Difference[] = [
  {
    cases: ['client writes, closes'],
    when: ({ server, agent }) => server !== 'ours' && agent !== 'ours',
    seen: /^(ok|\d+ of \d+ lost)$/,
    why: "Konnectivity's agent closes a target as soon as it is told to, and drops what it has not written by then. Counted, not expected to be any number. Ours writes everything first, whoever's server it has.",
  },
  {
    cases: ['client writes, closes'],
    when: ({ server, agent }) => server === 'ours' && agent !== 'ours',
    seen: /^(ok|\d of \d+ lost)$/,
    why: 'The same agent, but our server tells it to close only when it has read all and has had 50 ms to write it, which has been enough but where the machine, or the target, was slower than that.',
  },
  {
    cases: ['target speaks first'],
    when: (pairing) => pairing.server !== 'ours' && !keepsGreetings(pairing),
    seen: /^(ok|\d+ of \d+ lost)$/,
    why: "Konnectivity's server may send the first bytes of a target before the `200`, or as one with it, which kube-apiserver refuses; in gRPC mode it may send them so close behind its answer that its library does not know the connection yet and closes it. Ours keeps them apart from the answer.",
  },
  {
    cases: ['target speaks first'],
    when: (pairing) => pairing.server === 'ours' && !keepsGreetings(pairing),
    seen: /^(ok|\d of \d+ lost|[1-4]\d of 100 lost)$/,
    why: 'A client on a Unix socket that is late reads as one what was written apart, and a late library in gRPC mode does not know its connection yet. Ours waits 10 ms or for the first byte of the client, which narrows this and cannot end it.',
  },
  {
    cases: ['target refuses', 'target silent', 'name unknown', 'dial pending then', 'no agent'],
    when: dialsAfterAnswering,
    seen: /^200, then (503|500|nothing)$/,
    why: 'Konnectivity v0.33.0 and v0.31.4 answer `200` before the agent has dialled. The failure comes behind it as a second answer, or not at all.',
  },
  {
    cases: ['dial pending then'],
    when: (pairing) => pairing.server !== 'ours' && !byConnect(pairing),
    seen: /^no answer$/,
    why: "Konnectivity's server forgets dials over gRPC whose agent is gone; its library gives up after 30 s. Ours fails them at once.",
  },
  {
    cases: ['client ends its side'],
    when: (pairing) => !hasHalfClose(pairing),
    seen: /^n\/a$/,
    why: 'Konnectivity has no half close: the end of one side is the end of the connection, and its library has no words for the one without the other. Between ours the answer to all that was sent arrives.',
  },
]

/** The index of the difference that explains what was seen; undefined when it is `ok` and has to be; `unexplained` if nothing does. */
export function explain(pairing: Pairing, name: Case, seen: string): number | undefined | 'unexplained' {
  const index = DIFFERENCES.findIndex(({ cases, when }) => cases.includes(name) && when(pairing))
  if (index < 0) return seen === 'ok' ? undefined : 'unexplained'
  return DIFFERENCES[index]!.seen.test(seen) ? index : 'unexplained'
}
