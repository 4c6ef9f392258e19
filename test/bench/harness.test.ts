import { existsSync } from 'node:fs'
import t from 'tap'
import { runScenario } from '../../bench/harness.ts'
import type { Load } from '../../bench/load/load.ts'
import type { Peer, RunningPeer } from '../../bench/peers/peer.ts'
import { oneMachine } from '../../bench/places.ts'
import type { Case } from '../../bench/scenarios/scenario.ts'

/** Nobody is asked anything: the peers of this test carry no load. */
const idle = { pid: process.pid, call: async () => 0 }
const load = { light: { generator: idle, target: idle }, heavy: { generator: idle, target: idle } } as unknown as Load

t.test('gives each start of a peer an empty folder of its own, whatever a commit is called', async (t) => {
  const folders: string[] = []
  const peer: Peer = {
    name: 'origin/main~1',
    what: 'a commit',
    prepare: async () => undefined,
    async start({ folder }) {
      folders.push(folder)
      const running = { server: process.pid, agent: process.pid, assertRunning: () => undefined }
      return { ...running, [Symbol.asyncDispose]: async () => undefined } as unknown as RunningPeer
    },
  }
  const subject: Case = {
    label: '1',
    series: 'one',
    size: 1,
    frontend: 'tls',
    start: 'fresh',
    rounds: 2,
    metrics: [{ name: 'rate', unit: '/s', better: 'more' }],
    measure: async () => [1],
  }
  const [result] = await runScenario(
    { name: 'one', question: 'one', cases: () => [subject] },
    {
      peers: [peer],
      effort: {} as never,
      load,
      certificates: {} as never,
      folder: t.testdir({}),
      places: oneMachine,
      progress: () => {},
    },
  )
  t.match(result!.rounds, [[{ kind: 'measured' }, { kind: 'measured' }]])
  t.equal(new Set(folders.filter((folder) => existsSync(folder))).size, 2)
})
