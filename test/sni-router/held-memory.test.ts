/** What the router keeps of a client: nothing of its ClientHello once a backend has it, nothing at all once it has left. */
import { connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t, { type Test } from 'tap'
import { readBytes } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { connectRaw } from '../integration/front-door.ts'
import { listenTarget, silent } from '../integration/target.ts'
import { extension, helloRecords, serverName } from './hellos.ts'
import { startRouter } from './router-in-process.ts'

const CLIENTS = 100
/** What Node reads at once. */
const READ_BYTES = 65_536

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
/** Bytes of buffers that somebody still holds. */
function heldBytes(): number {
  for (let count = 0; count < 2; count++) collect()
  return process.memoryUsage().arrayBuffers
}

const hello = helloRecords({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(14_000))] })

function sendHellos(t: Test, port: number, bytes = hello): Socket[] {
  const sockets = Array.from({ length: CLIENTS }, () => connect(port, '127.0.0.1').on('error', () => undefined))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.write(bytes)
  return sockets
}

async function keepsLittle(t: Test, before: number): Promise<void> {
  const kept = await eventually(
    'what is kept of a client is far less than its hello',
    () => (heldBytes() - before) / CLIENTS,
    (bytes) => bytes < hello.length / 8,
  )
  t.ok(kept < hello.length / 8, `${kept} bytes`)
}

t.test('a joined client keeps nothing of its hello', async (t) => {
  const target = await listenTarget(t, silent)
  const { port } = await startRouter(t, target.address)
  const before = heldBytes()
  sendHellos(t, port)
  await eventually(
    'the backend has every hello',
    () => [...target.sockets].filter(({ bytesRead }) => bytesRead === hello.length).length,
    (count) => count === CLIENTS,
  )
  await keepsLittle(t, before)
})

t.test('a client that leaves while a name is looked up is not kept until there is an answer', async (t) => {
  const { router, port } = await startRouter(t, 'backend.example:1')
  const before = heldBytes()
  const sockets = sendHellos(t, port)
  await eventually(
    'all wait for the name',
    () => router.tallies().get('a')?.open,
    (open) => open === CLIENTS,
  )
  t.ok((heldBytes() - before) / CLIENTS > hello.length / 2, 'who waits keeps its hello')
  for (const socket of sockets) socket.destroy()
  await eventually(
    'all have left',
    () => router.count(),
    (count) => count === 0,
  )
  await keepsLittle(t, before)
})

t.test('what a client sends behind its answer is not kept', async (t) => {
  const { router, port } = await startRouter(t, 'backend.example:1')
  const client = await connectRaw(t, port)
  client.write(helloRecords({ extensions: [serverName('other.example')] }))
  t.equal((await readBytes(client, 7)).toString('hex'), '15030100020270', 'unrecognized_name')
  const part = Buffer.alloc(2 ** 20)
  const before = heldBytes()
  for (let count = 0; count < 32; count++) {
    await within(new Promise((resolve) => client.write(part, resolve)), 'the router to take it')
  }
  t.equal(router.count(), 1, 'it may still read why')
  await eventually(
    'it is dropped',
    () => heldBytes() - before,
    (bytes) => bytes < 4 * part.length,
  )
})

t.test('of what a client sends before a backend has it no more is kept than two reads have brought', async (t) => {
  const { router, port } = await startRouter(t, 'backend.example:1')
  const bytes = Buffer.concat([hello, Buffer.alloc(2 ** 18)])
  const before = heldBytes()
  sendHellos(t, port, bytes)
  await eventually(
    'all wait for the name',
    () => router.tallies().get('a')?.open,
    (open) => open === CLIENTS,
  )
  for (let turns = 0; turns < 50; turns++) await turn() // in which a client that is still read is read
  const kept = (heldBytes() - before) / CLIENTS
  t.ok(kept > hello.length && kept < 2 * READ_BYTES + hello.length / 2, `${kept} bytes`)
})
