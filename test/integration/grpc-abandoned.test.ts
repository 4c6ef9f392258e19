/** gRPC mode: after thousands of calls that were begun and abandoned nothing is left, and who stayed has not noticed. */
import t from 'tap'
import { abandonCalls } from './abandoned-calls.ts'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { figure, SERVER } from './figures.ts'
import { left, noMoreLeft, watched } from './left-behind.ts'
import { echo, listenTarget } from './target.ts'
import { sendAll } from './transfer.ts'
import { startTunnel } from './tunnel.ts'
import { joinFrontend } from './wire-call.ts'
import { joinWitness, onlyLeft } from './witness.ts'

const MEBIBYTE = 1024 * 1024
/** More than an agent may send before anybody has taken something. */
const SOURCE_BYTES = 160 * 1024

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => {
  socket.resume().write(Buffer.alloc(SOURCE_BYTES))
  socket.once('end', () => socket.destroy())
})
const finite = await listenTarget(t, (socket) => void sendAll(socket, MEBIBYTE))

for (const [transport, first, second] of [
  ['uds', 2_000, 8_000],
  ['tls', 100, 300],
] as const) {
  t.test(`${transport}: ${first + second} abandoned calls leave no more than ${first}`, async (t) => {
    const tunnel = await startTunnel(t, { pki, transport, flags: ['--mode=grpc'], ...watched }, watched)
    const { server, agent } = tunnel
    const programs = [server, agent]
    const targets = { echo: target, source: finite, sourceBytes: MEBIBYTE }
    const witness = await joinWitness(await joinFrontend(t, server), targets)
    const abandoned = async (count: number): Promise<void> => {
      await abandonCalls(t, server, count, { target: target.address, slow: target.address, source: source.address })
      await onlyLeft(tunnel, 1)
      await eventually(
        'the targets have only the witness',
        () => target.sockets.size + source.sockets.size + finite.sockets.size,
        (sockets) => sockets === 1,
      )
    }
    await witness.isWell()
    await abandoned(first)
    const before = await Promise.all(programs.map(left))
    const startMs = performance.now()
    await abandoned(second)
    t.comment(`${Math.round((second / (performance.now() - startMs)) * 1_000)} calls a second`)
    for (const [index, program] of programs.entries()) await noMoreLeft(t, program, before[index]!)
    for (const how of ['finished', 'reset']) {
      t.ok((await figure(server, `culvert_server_connection_ends_total{how="${how}"}`)) > first)
    }
    t.ok((await figure(server, `${SERVER}dial_failure_count{reason="frontend_close"}`)) > 0, 'some before the answer')
    await witness.isWell()
  })
}
