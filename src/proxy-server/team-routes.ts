/** What the admin port of a server with workers answers: it asks the workers and puts their answers together. */
import type { Answer, Route, Routes } from '../platform/endpoints.ts'
import type { ShownFleet } from './fleet.ts'
import { mergeFleet } from './merged-fleet.ts'
import type { Member } from './worker-team.ts'

/** Longest wait for a worker that describes its agents: milliseconds. */
const FLEET_TIMEOUT_MS = 5_000
/** And for one that takes a profile, of which the longest takes 300 s: milliseconds. */
const PROFILE_TIMEOUT_MS = 310_000

type Members = () => readonly Member[]

export function fleetOfTeam(members: Members): (gone: AbortSignal) => Promise<ShownFleet> {
  return async (gone) => {
    const question = { path: '/v1/clusters', search: '' }
    const fleets = members()
      .filter(({ state }) => state !== 'starting')
      .map(async ({ slot, serverId, ask }) => {
        const answer = await ask(question, FLEET_TIMEOUT_MS, gone)
        return { worker: slot, serverId, body: answer?.status === 200 ? String(answer.body) : undefined }
      })
    return mergeFleet(await Promise.all(fleets))
  }
}

/** With `?worker=2` a profile is that worker's; without, that of the process which answers. */
export function profilesOfTeam(own: Routes, members: Members): Routes {
  const routes = Object.entries(own).map(([path, route]): [string, Route] => [
    path,
    (asked) => {
      const slot = asked.query.get('worker')
      return slot === null ? route(asked) : profileOf(slot, path, asked)
    },
  ])
  const profileOf = async (slot: string, path: string, { search, gone }: Parameters<Route>[0]): Promise<Answer> => {
    const worker = members().find((member) => String(member.slot) === slot && member.state === 'up')
    if (!worker) return { status: 404, body: 'there is no such worker at the moment\n' }
    const answer = await worker.ask({ path, search }, PROFILE_TIMEOUT_MS, gone)
    return answer ?? { status: 504, body: 'the worker did not answer\n' }
  }
  return Object.fromEntries(routes)
}
