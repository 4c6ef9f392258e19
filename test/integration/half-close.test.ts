/** One side stops sending and the other goes on; and who speaks first. */

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { proveWay, startTunnelsOnBothWays } from './both-ways.ts'
import { makePki } from './certificates.ts'
import { connectFrontend, connectHead, ESTABLISHED, openTunnel, readAll } from './client.ts'
import { within } from './deadline.ts'
import { listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { startServer, TRANSPORTS } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { joinWireAgent } from './wire-agent.ts'

const MEBIBYTE = 1024 * 1024
const ROUNDS = 100
const whole = { bytes: MEBIBYTE, hash: expectedHash(MEBIBYTE) }
const pki = await makePki(t)
const servers = await Promise.all(TRANSPORTS.map((transport) => startServer(t, { pki, transport })))

for (const tunnel of await startTunnelsOnBothWays(t, { pki })) {
  const { server, name } = tunnel

  t.test(`${name}: a client that stops sending gets the answer to all it sent`, async (t) => {
    const received = Promise.withResolvers<unknown>()
    const target = await listenTarget(t, async (socket) => {
      received.resolve(await receiveAll(socket))
      await sendAll(socket, MEBIBYTE)
    })
    const socket = await openTunnel(server, target.address)
    await sendAll(socket, MEBIBYTE)
    t.strictSame(await receiveAll(socket), whole)
    t.strictSame(await received.promise, whole)
    socket.destroy()
  })

  t.test(`${name}: a target that stops sending is sent all that the client has`, async (t) => {
    const received = Promise.withResolvers<unknown>()
    const target = await listenTarget(t, (socket) => {
      socket.end('no more from me')
      receiveAll(socket).then(received.resolve, received.reject)
    })
    const socket = await openTunnel(server, target.address)
    t.equal((await readAll(socket)).toString(), 'no more from me')
    await sendAll(socket, MEBIBYTE)
    t.strictSame(await received.promise, whole)
    socket.destroy()
  })

  t.test(`${name}: a client that ended in the same write as its CONNECT and its request gets the answer`, async (t) => {
    const target = await listenTarget(t, async (socket) => socket.end(`you said ${await readAll(socket)}`))
    const socket = await connectFrontend(server)
    socket.end(`${connectHead(target.address)}all I had`)
    t.equal((await readAll(socket)).toString(), `${ESTABLISHED}you said all I had`)
    socket.destroy()
  })

  t.test(`${name}: early bytes beyond what is kept during a dial arrive too`, async (t) => {
    const early = Buffer.alloc(MEBIBYTE, 'early')
    const target = await listenTarget(t, async (socket) => socket.end(sha256(await readAll(socket))))
    const socket = await connectFrontend(server)
    socket.end(Buffer.concat([Buffer.from(connectHead(target.address)), early]))
    t.equal((await readAll(socket)).toString(), ESTABLISHED + sha256(early))
    socket.destroy()
  })

  t.test(`${name}: the first bytes of a target that speaks first come after the 200`, async (t) => {
    const target = await listenTarget(t, (socket) => socket.end('220 ready'))
    let apart = 0
    const answers = new Set<string>()
    for (let round = 0; round < ROUNDS; round++) {
      const socket = await connectFrontend(server)
      socket.write(connectHead(target.address))
      const [first] = (await within(once(socket, 'data'), 'a first read')) as [Buffer]
      if (first.length === ESTABLISHED.length) apart++
      answers.add(first.toString() + (await readAll(socket)))
      socket.destroy()
    }
    t.strictSame([...answers], [`${ESTABLISHED}220 ready`])
    // Over TLS each is a record; on a Unix socket this machine may hold the client up for longer than the server waits.
    t.ok(apart >= (server.transport === 'tls' ? ROUNDS : ROUNDS / 2), `in a read of their own in ${apart} of ${ROUNDS}`)
  })

  proveWay(t, tunnel)
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

for (const server of servers) {
  t.test(
    `${server.transport}: the 200 comes first when the agent's answer and the target's first bytes come as one`,
    async (t) => {
      const agent = await joinWireAgent(t, server)
      const answers = new Set<string>()
      for (let connectId = 1; connectId <= 20; connectId++) {
        const socket = await connectFrontend(server)
        socket.write(connectHead('10.0.0.1:443'))
        const { random } = await agent.next('DIAL_REQ')
        const packets: Packet[] = [
          { type: 'DIAL_RSP', error: '', connectId, random },
          { type: 'DATA', connectId, error: '', data: Buffer.from('220 ready') },
          { type: 'CLOSE_RSP', connectId, error: '' },
        ]
        agent.sendRaw(Buffer.concat(packets.map((packet) => grpcMessage(encodePacket(packet)))))
        answers.add((await readAll(socket)).toString())
        socket.destroy()
      }
      t.strictSame([...answers], [`${ESTABLISHED}220 ready`])
    },
  )
}
