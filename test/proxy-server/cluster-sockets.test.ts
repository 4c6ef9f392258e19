/** Sockets of clusters that cannot be made, or removed: the others are there, and the server goes on. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createDirectory } from '../../src/clusters/directory.ts'
import { createClusterSockets } from '../../src/proxy-server/cluster-sockets.ts'
import { cluster } from '../clusters/cluster.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const RETRY_MS = 5_000

/** `wanted` has a socket for each cluster, as the test changes it. */
function setup(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'))
  const clock = manualClock()
  const log = recordedLog()
  const wanted: Record<string, string> = {}
  const sockets = createClusterSockets({
    clock,
    log,
    directory: () =>
      createDirectory(
        Object.entries(wanted).map(([id, name]) => cluster(id, { frontends: { socket: join(folder, name) } })),
      ),
    deleteExisting: true,
    allowHalfOpen: true,
    pauseOnConnect: false,
    take: (socket) => socket.destroy(),
  })
  t.teardown(() => {
    sockets[Symbol.dispose]()
    rmSync(folder, { recursive: true, force: true })
  })
  return { folder, clock, log, wanted, sockets, has: (name: string) => existsSync(join(folder, name)) }
}

t.test('one that cannot be had keeps no other from its own', async (t) => {
  const { folder, clock, log, wanted, sockets, has } = setup(t)
  Object.assign(wanted, { a: 'none/a.sock', b: 'b.sock', c: 'no/c.sock' })
  await t.rejects(sockets.open(), {
    code: 'bad-option',
    message: /cluster a: .* does not exist\ncluster c: .* does not/,
  })
  t.ok(has('b.sock'))
  await sockets.follow()
  t.match(log.lines.at(-1), { level: 'error', fields: { reason: /cluster a: / } })
  mkdirSync(join(folder, 'none'))
  mkdirSync(join(folder, 'no'))
  clock.advance(RETRY_MS)
  await sockets.open()
  t.ok(has('none/a.sock') && has('no/c.sock') && has('b.sock'))
})

t.test('one that cannot be removed is told of, and the others are', async (t) => {
  const { folder, log, wanted, sockets, has } = setup(t)
  Object.assign(wanted, { a: 'in/a.sock', b: 'b.sock' })
  mkdirSync(join(folder, 'in'))
  await sockets.open()
  delete wanted.a
  delete wanted.b
  rmSync(join(folder, 'in'), { recursive: true })
  writeFileSync(join(folder, 'in'), 'no folder any more: ENOTDIR, which root meets too')
  await sockets.follow()
  t.match(log.lines.at(-1), { level: 'error', message: /cannot be removed/, fields: { cluster: 'a' } })
  t.notOk(has('b.sock'))
})
