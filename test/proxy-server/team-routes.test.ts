/** What workers are asked for by the admin port of their server, and what it says where one of them says nothing. */
import t from 'tap'
import type { Answer } from '../../src/platform/endpoints.ts'
import { fleetOfTeam, profilesOfTeam } from '../../src/proxy-server/team-routes.ts'
import type { Member } from '../../src/proxy-server/worker-team.ts'
import { asked } from '../platform/asked.ts'

type Question = { readonly of: number; readonly path: string; readonly search: string; readonly timeoutMs: number }

/** Workers that answer so, and what they were asked. */
function team(...workers: readonly (readonly [slot: number, state: Member['state'], answer: Answer | undefined])[]) {
  const questions: Question[] = []
  const signals: (AbortSignal | undefined)[] = []
  const members = workers.map(
    ([slot, state, answer]): Member => ({
      slot,
      state,
      ready: state === 'up',
      serverId: `hub-w${slot}`,
      ask: async ({ path, search }, timeoutMs, gone) => {
        questions.push({ of: slot, path, search, timeoutMs })
        signals.push(gone)
        return answer
      },
      figures: [],
      final: false,
    }),
  )
  return { members: () => members, questions, signals }
}
const fleet = (...agents: string[]): Answer => ({
  status: 200,
  body: JSON.stringify({ clusters: [{ id: 'eu-1', agents: agents.map((agentId) => ({ agentId })) }] }),
})

t.test('puts the fleets of all workers together, those that drain too, and names who said nothing', async (t) => {
  const { members, questions, signals } = team(
    [1, 'up', fleet('a')],
    [2, 'leaving', fleet('b')],
    [3, 'up', undefined],
    [4, 'up', { status: 503, body: 'no' }],
    [5, 'starting', fleet('c')],
  )
  const { signal } = new AbortController()
  t.strictSame(await fleetOfTeam(members)(signal), {
    clusters: [
      {
        id: 'eu-1',
        agents: [
          { agentId: 'a', worker: 1, serverId: 'hub-w1' },
          { agentId: 'b', worker: 2, serverId: 'hub-w2' },
        ],
      },
    ],
    silentWorkers: [3, 4],
  })
  t.strictSame(
    questions,
    [1, 2, 3, 4].map((of) => ({ of, path: '/v1/clusters', search: '', timeoutMs: 5_000 })),
  )
  t.ok(
    signals.every((one) => one === signal),
    'who asked may go',
  )
})

t.test('takes a profile of the worker that is named, and of this process where none is', async (t) => {
  const { members, questions } = team(
    [1, 'up', { status: 200, body: 'of one' }],
    [2, 'up', { status: 200, body: 'of two' }],
  )
  const routes = profilesOfTeam({ '/debug/pprof/profile': () => ({ status: 200, body: 'own' }) }, members)
  const profile = async (search: string): Promise<Answer> =>
    routes['/debug/pprof/profile']!(asked({ path: '/debug/pprof/profile', search }))
  t.strictSame(Object.keys(routes), ['/debug/pprof/profile'])
  t.match(await profile('?seconds=30'), { status: 200, body: 'own' })
  t.strictSame(questions, [])
  t.match(await profile('?seconds=30&worker=2'), { status: 200, body: 'of two' })
  const question = { path: '/debug/pprof/profile', search: '?seconds=30&worker=2' }
  t.strictSame(questions, [{ of: 2, ...question, timeoutMs: 310_000 }], 'longer than the longest profile takes')
})

t.test('says that a worker is not there, or not up, or did not answer', async (t) => {
  const { members, questions } = team([1, 'leaving', fleet()], [2, 'starting', fleet()], [3, 'up', undefined])
  const routes = profilesOfTeam({ '/profile': () => ({ status: 200, body: 'own' }) }, members)
  const profile = async (worker: string): Promise<Answer> => routes['/profile']!(asked({ search: `?worker=${worker}` }))
  for (const worker of ['1', '2', '4', '', '03', 'x']) {
    t.strictSame(await profile(worker), { status: 404, body: 'there is no such worker at the moment\n' }, worker)
  }
  t.strictSame(questions, [])
  t.strictSame(await profile('3'), { status: 504, body: 'the worker did not answer\n' })
})
