/** The load against a proxy of the test's own, honest and not: what loses or changes bytes must never get a number. */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Load, startLoad } from '../../../bench/load/load.ts'
import type { Frontend } from '../../../bench/load/tunnel.ts'

type Damage = { readonly fromTarget?: (chunk: Buffer) => Buffer; readonly fromClient?: (chunk: Buffer) => Buffer }

const window = { warmUpMs: 20, windowMs: 100 }
const exchange = { ...window, atOnce: 2, deadlineMs: 1_000 }
/** Something has to come within it, also where a machine leaves one of three processes alone for a while. */
const longWindow = { warmUpMs: 20, windowMs: 2_000 }
/** For what is answered, if late. */
const DEADLINE_MS = 20_000

/** A CONNECT proxy on a Unix socket, and the load. */
async function setup(
  t: Test,
  damage: Damage = {},
): Promise<Load & { readonly frontend: Frontend; readonly breakTunnels: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-load-test-'))
  const path = join(folder, 'proxy.sock')
  const clients = new Set<Socket>()
  const proxy = createServer((client) => {
    clients.add(client)
    serve(client, damage)
  })
  const load = await startLoad()
  t.teardown(async () => {
    await load[Symbol.asyncDispose]()
    proxy.close()
    rmSync(folder, { recursive: true })
  })
  await new Promise<void>((resolve) => proxy.listen(path, resolve))
  const breakTunnels = (): void => {
    for (const client of clients) client.destroy()
  }
  return { ...load, frontend: { kind: 'unix', path }, breakTunnels }
}

function serve(client: Socket, { fromTarget = same, fromClient = same }: Damage): void {
  client.on('error', () => undefined)
  client.once('data', (head) => {
    const port = Number(/^CONNECT 127\.0\.0\.1:(\d+)/.exec(head.toString())?.[1])
    const target = connect(port, '127.0.0.1', () => client.write('HTTP/1.1 200 Connection Established\r\n\r\n'))
    target.on('error', () => undefined)
    client.on('data', (chunk: Buffer) => write(target, client, fromClient(chunk)))
    target.on('data', (chunk: Buffer) => write(client, target, fromTarget(chunk)))
    client.once('close', () => target.destroy())
    target.once('close', () => client.destroy())
  })
}

const same = (chunk: Buffer): Buffer => chunk
const lastByteLost = (chunk: Buffer): Buffer => chunk.subarray(0, -1)

function write(to: Socket, from: Socket, chunk: Buffer): void {
  if (to.write(chunk)) return
  from.pause()
  to.once('drain', () => from.resume())
}

t.test('measures an honest proxy', async (t) => {
  const { light, heavy, frontend } = await setup(t)
  const { source, sink, echo } = heavy.services
  const { generator } = heavy
  const bulk = { frontend, connections: 2, ...longWindow }
  const exchanges = { ...longWindow, atOnce: 2, deadlineMs: DEADLINE_MS, frontend, target: echo }
  t.ok((await generator.call('download', { ...bulk, target: source })).bytes > 0)
  t.ok((await generator.call('upload', { ...bulk, target: sink })).bytes > 0)
  t.ok((await generator.call('roundTrips', exchanges)).perSecond > 0)
  t.ok((await light.generator.call('dials', exchanges)).perSecond > 0)
})

t.test('refuses a download that lacks bytes', async (t) => {
  const { heavy, frontend } = await setup(t, { fromTarget: lastByteLost })
  const job = { frontend, target: heavy.services.source, connections: 1, ...window }
  await t.rejects(heavy.generator.call('download', job), { message: /wrong bytes at offset/ })
})

t.test('refuses an upload that lacks bytes', async (t) => {
  // Bulk only: the single byte that asks for the count passes.
  const { heavy, frontend } = await setup(t, {
    fromClient: (chunk) => (chunk.length > 1_000 ? lastByteLost(chunk) : chunk),
  })
  const job = { frontend, target: heavy.services.sink, connections: 1, ...window }
  await t.rejects(heavy.generator.call('upload', job), { message: /wrong bytes arrived/ })
})

t.test('refuses an answer that is not the message', async (t) => {
  const { light, frontend } = await setup(t, { fromTarget: (chunk) => Buffer.alloc(chunk.length, 0xff) })
  const job = { ...exchange, frontend, target: light.services.echo }
  await t.rejects(light.generator.call('roundTrips', job), { message: /not the message/ })
})

t.test('reports a proxy that goes silent as no answer', async (t) => {
  const { light, frontend } = await setup(t, { fromTarget: () => Buffer.alloc(0) })
  const job = { ...exchange, frontend, target: light.services.echo }
  await t.rejects(light.generator.call('roundTrips', job), { name: 'NoAnswer' })
})

t.test('holds tunnels until they are released', async (t) => {
  const { light, frontend } = await setup(t)
  const job = {
    frontend,
    target: light.services.echo,
    count: 5,
    atOnce: 2,
    deadlineMs: DEADLINE_MS,
    kind: 'idle',
  } as const
  t.strictSame(await light.generator.call('hold', job), { opened: 5 })
  t.equal(await light.target.call('connections', { most: 5, deadlineMs: DEADLINE_MS }), 5)
  await light.generator.call('release', undefined)
  t.equal(await light.target.call('connections', { most: 0, deadlineMs: DEADLINE_MS }), 0)
})

t.test('tells, when tunnels are released, that one broke meanwhile', async (t) => {
  const { light, frontend, breakTunnels } = await setup(t)
  const job = {
    frontend,
    target: light.services.echo,
    count: 2,
    atOnce: 2,
    deadlineMs: DEADLINE_MS,
    kind: 'idle',
  } as const
  await light.generator.call('hold', job)
  breakTunnels()
  await t.rejects(light.generator.call('release', undefined), { message: /a held tunnel broke/ })
})

t.test('counts what a proxy loses of transfers that are written and closed at once', async (t) => {
  const sizes = [1_000, 100_000]
  const transfer = async (damage: Damage) => {
    const { light, frontend } = await setup(t, damage)
    await light.generator.call('writeThenClose', { frontend, target: light.services.ledger, sizes, atOnce: 2 })
    await light.target.call('connections', { most: 0, deadlineMs: DEADLINE_MS })
    return light.target.call('entries', undefined)
  }
  t.strictSame(await transfer({}), { 0: 1_000, 1: 100_000 })
  const { 0: first = 0 } = await transfer({ fromClient: lastByteLost })
  t.equal(first, 999)
  t.match(await transfer({ fromClient: (chunk) => Buffer.concat([chunk.subarray(0, 8), Buffer.alloc(992)]) }), {
    0: -1,
  })
})

t.test('counts what a proxy loses of what targets write and close at once', async (t) => {
  const { light, frontend } = await setup(t, { fromTarget: lastByteLost })
  const job = { frontend, target: light.services.giver, sizes: [1_000], atOnce: 1 }
  t.strictSame(await light.generator.call('takeThenClose', job), [999])
})
