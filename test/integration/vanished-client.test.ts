/** A client whose machine is gone says nothing more, so its socket must ask. What the kernel does about it, it tells in /proc. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { KEEP_ALIVE_MS } from '../../src/platform/keep-alive.ts'
import { openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'

const ESTABLISHED = '01'
const KEEP_ALIVE_TIMER = '02'
/** Of the kernel's clock, as it shows it to programs. */
const TICK_MS = 10

type Timer = { readonly kind: string; readonly dueMs: number }

/** The timers of connections that were accepted on a port, as the kernel numbers them. */
async function timersOf(port: number): Promise<Timer[]> {
  const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8')))
  const rows = tables.flatMap((table) => table.split('\n').map((row) => row.trim().split(/\s+/)))
  const ending = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return rows
    .filter(([, local = '', , state]) => local.endsWith(ending) && state === ESTABLISHED)
    .map(([, , , , , timer = '']) => ({
      kind: timer.slice(0, 2),
      dueMs: Number.parseInt(timer.slice(3), 16) * TICK_MS,
    }))
}

t.test('an idle client over TCP is asked by the kernel whether it is still there', async (t) => {
  const { server } = await startTunnel(t)
  const target = await listenTarget(t, echo)
  const client = await openTunnel(server, target.address)
  t.teardown(() => client.destroy())
  await eventually(
    'the one connection has a keep-alive timer',
    () => timersOf(server.frontendPort),
    (timers) => timers.length === 1 && timers[0]!.kind === KEEP_ALIVE_TIMER && timers[0]!.dueMs <= KEEP_ALIVE_MS,
  )
})
