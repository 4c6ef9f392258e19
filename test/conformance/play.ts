/** Plays all cases on one pairing: one server, one agent, one client, in an order in which each leaves them to the next. */
import type { Test } from 'tap'
import { type Pki, temporaryFolder } from '../integration/certificates.ts'
import { isSilent, isUnknown, refuses, survivesAgent, survivesServer } from './failures.ts'
import { makeAsk } from './frontend.ts'
import { isOurs, keepsGreetings, type Pairing } from './pairing.ts'
import { makePeers } from './peers.ts'
import { carriesBulk, carriesManyAtOnce, closesHalf, echoes, targetSpeaksFirst } from './transfers.ts'
import { clientWritesAndCloses, targetWritesAndCloses } from './writers.ts'

export const CASES = [
  'echo',
  '64 MiB each way',
  '200 at once',
  'target speaks first',
  'client ends its side',
  'client writes, closes',
  'target writes, closes',
  'target refuses',
  'target silent',
  'name unknown',
  'agent killed',
  'dial pending then',
  'no agent',
  'server restarted',
] as const
export type Case = (typeof CASES)[number]
/** What was seen: `ok`, or what else. */
export type Seen = Readonly<Record<Case, string>>

/** How often what may go right by luck is tried. */
export type Repeats = { readonly greetings: number; readonly transfersEachWay: number }

export async function play(t: Test, pki: Pki, pairing: Pairing, repeats: Repeats): Promise<Seen> {
  const folder = temporaryFolder(t)
  const peers = await makePeers(t, pki, folder, pairing)
  const [server, agent] = await Promise.all([peers.startServer(), peers.startAgent()])
  await peers.joined(server, agent)
  const ask = await makeAsk(t, pairing.way, peers, folder)

  const silent = tried(isSilent(t, ask, pairing)) // 5 s, beside the others
  const seen = {
    echo: await tried(echoes(t, ask)),
    '64 MiB each way': await tried(carriesBulk(t, ask)),
    '200 at once': await tried(carriesManyAtOnce(t, ask)),
    'target speaks first': await tried(targetSpeaksFirst(t, ask, repeats.greetings, !keepsGreetings(pairing))),
    'client ends its side': hasHalfClose(pairing) ? await tried(closesHalf(t, ask)) : 'n/a',
    'client writes, closes': await tried(clientWritesAndCloses(t, ask, repeats.transfersEachWay)),
    'target writes, closes': await tried(targetWritesAndCloses(t, ask, repeats.transfersEachWay)),
    'target refuses': await tried(refuses(ask, pairing)),
    'name unknown': await tried(isUnknown(ask, pairing)),
    'target silent': await silent,
  }
  const killed = await survivesAgent(t, ask, pairing, peers, server, agent)
  return {
    ...seen,
    'agent killed': killed.inTransfer,
    'dial pending then': killed.pending,
    'no agent': killed.without,
    'server restarted': await tried(survivesServer(t, ask, peers, server, killed.agent)),
  }
}

/** What a case throws is what was seen in it; the others go on. */
const tried = (work: Promise<string>): Promise<string> => work.catch((error: Error) => `failed: ${error.message}`)

/** Konnectivity knows none, on either end and in its library. */
export const hasHalfClose = (pairing: Pairing): boolean => isOurs(pairing) && pairing.way.mode === 'http-connect'
