/** The list from a file, as the server has it; leases: test/integration/replicas-leases.test.ts. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t, { type Test } from 'tap'
import { readOptions } from '../../src/platform/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { openReplicas } from '../../src/proxy-server/replicas.ts'
import { optionsOfWorker, workerServerId } from '../../src/proxy-server/worker-options.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const listOf = (...replicas: readonly object[]): string =>
  JSON.stringify({ replicas: replicas.map((one) => ({ serverName: 'hub.example', ...one })) })
/** Looks until a change of the file counts: milliseconds. */
const LOOKS_MS = [5_000, 5_000]

function setup(t: Test, text: string, flags: readonly string[] = [], worker = false) {
  const file = join(t.testdir({ 'replicas.yaml': text }), 'replicas.yaml')
  const read = readOptions(serverOptions, [`--replicas-file=${file}`, '--server-id=hub-0', ...flags], [], {})
  if (read.ok !== true) throw new Error('the flags of this test are good')
  const options = worker ? optionsOfWorker(read.values, 2, workerServerId('hub-0', 2, '01234567')) : read.values
  const [clock, log, registry] = [manualClock(), recordedLog(), new Registry()]
  let changes = 0
  const deps = { clock, log, registry, kubernetes: undefined, changed: () => void changes++ }
  const replicas = openReplicas(options, deps)!
  t.teardown(() => replicas[Symbol.dispose]())
  return {
    log,
    replicas,
    changes: () => changes,
    write(next: string) {
      writeFileSync(file, next)
      for (const ms of LOOKS_MS) clock.advance(ms)
    },
    figure: async (name: string): Promise<unknown> => (await registry.getSingleMetric(name)!.get()).values[0]?.value,
  }
}

const MISMATCH = 'culvert_server_replica_mismatch'

t.test('tells of a change, and keeps the list before a broken one', async (t) => {
  const { replicas, changes, write, figure, log } = setup(t, listOf({ id: 'hub-0' }))
  t.match(replicas.list(), [{ id: 'hub-0', serverName: 'hub.example', workers: 1 }])
  t.strictSame([await figure(MISMATCH), log.messages('warn')], [0, []])
  write(listOf({ id: 'hub-0' }, { id: 'hub-1', serverName: 'hub-1.example' }))
  t.equal(changes(), 1)
  t.equal(await figure('culvert_server_known_replicas'), 2)
  write('replicas: []')
  t.equal(replicas.list()?.length, 2)
  t.equal(await figure('culvert_server_replicas_broken'), 1)
})

t.test('a file that does not name the server that reads it is told of at once, and raises an alarm', async (t) => {
  const { replicas, write, figure, log } = setup(t, listOf({ id: 'hub-1' }))
  const message = 'the list of replicas is not right about this server'
  t.match(log.lines, [{ level: 'warn', message, fields: { reason: /--server-id of this server, hub-0/ } }])
  t.equal(await figure(MISMATCH), 1)
  t.equal(replicas.list()?.length, 1, 'it is used all the same: a server that is to go is taken out first')
  write(listOf({ id: 'hub-0' }))
  t.equal(await figure(MISMATCH), 0)
  write(listOf({ id: 'hub-0', workers: 3 }))
  t.equal(await figure(MISMATCH), 1)
  t.match(log.lines.at(-1), { message, fields: { reason: /workers of hub-0 is 3/ } })
})

t.test('a worker is of the replica that is listed', async (t) => {
  const { figure, log } = setup(t, listOf({ id: 'hub-0', workers: 2 }), ['--workers=2'], true)
  t.strictSame([await figure(MISMATCH), log.messages('warn')], [0, []])
})
