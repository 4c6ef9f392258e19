/** What a server that shuts down does with those who come after the signal, and what it leaves to the next one. */
import type { Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makePki } from './certificates.ts'
import { connectFrontend, connectHead, echoOver, openTunnel, readAll, readBytes } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { connectRaw } from './front-door.ts'
import { type Call, dataOf, dialRequest, grpcClient } from './grpc-client.ts'
import { echo, listenTarget, ownPort } from './target.ts'
import { startServer, startTunnel, TRANSPORTS } from './tunnel.ts'
import { connectAgentPort } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)

for (const transport of TRANSPORTS) {
  t.test(`${transport}: a server that shuts down serves those who still come, until nobody does`, async (t) => {
    const port = ['--server-listen-any=false', `--server-port=${await ownPort()}`] // that is nobody else's at the end
    const { server, agent } = await startTunnel(t, { pki, transport, flags: transport === 'tls' ? port : [] })
    const open = await openTunnel(server, target.address)
    const idle = await connectFrontend(server)
    server.signal('SIGTERM')
    await server.logged('shutting down')
    t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 500, 'a balancer sends nobody here any more')
    await agent.logged('server goes away')
    const late = await openTunnel(server, target.address)
    await echoOver(late, 'and who has not heard of it is served')
    await echoOver(open, 'like those who were there')
    late.destroy()
    open.destroy()
    t.equal((await readAll(idle)).length, 0, 'who has not asked for anything is not waited for')
    idle.destroy()
    t.match(await server.logged('closed the frontend'), { why: 'quiet' })
    t.strictSame(await within(server.ended, 'its end', 10_000), { code: 0, signal: null })
    await t.rejects(connectFrontend(server), { code: transport === 'tls' ? 'ECONNREFUSED' : 'ENOENT' })
  })
}

for (const transport of TRANSPORTS) {
  t.test(`${transport}: in gRPC mode calls go on, and who still comes is served`, async (t) => {
    const { server } = await startTunnel(t, { pki, transport, flags: ['--mode=grpc'] })
    const client = grpcClient(t, server)
    const talk = async (call: Call, connectID: string, word: string): Promise<void> => {
      call.send(dataOf(connectID, word))
      t.equal((await call.next('data')).data.toString(), word)
    }
    const dial = async (call: Call): Promise<string> => {
      call.send(dialRequest(target.address))
      return (await call.next('dialResponse')).connectID
    }
    const open = client.call()
    const connectID = await dial(open)
    server.signal('SIGTERM')
    await server.logged('shutting down')
    await talk(open, connectID, 'goes on')
    const others = [client.call(), grpcClient(t, server).call()] // by way of a client that is told to connect anew, too
    for (const call of others) {
      await talk(call, await dial(call), 'is served')
      call.finish()
    }
    await talk(open, connectID, 'to its end')
    open.finish()
    t.match(await open.status, { code: 0 })
    t.match(await server.logged('closed the frontend'), { why: 'quiet' })
    t.strictSame(await within(server.ended, 'its end', 10_000), { code: 0, signal: null })
  })
}

t.test('who is accepted at the last moment is served, though its handshake ends when the port is closed', async (t) => {
  const { server } = await startTunnel(t, { pki })
  const before = await openTunnel(server, target.address) // it closes two seconds later
  before.destroy()
  server.signal('SIGTERM')
  await server.logged('shutting down')
  const accepted: Socket[] = []
  const isClosed = async (): Promise<boolean> => {
    try {
      accepted.unshift(await connectRaw(t, server.frontendPort))
      return false
    } catch {
      return true
    }
  }
  await eventually('the port is closed', isClosed, (closed) => closed)
  await fetchFrom(server.healthPort, '/readyz') // by then who came when the port was being closed, and was never taken, is reset
  const last = accepted.find(({ destroyed }) => !destroyed)
  const { cert, key } = pki.apiserver
  const asClient = { servername: 'hub.example', ca: pki.authority.certificatePem, cert, key }
  const socket = connectTls({ socket: last!, ...asClient })
  await event(socket, 'secureConnect')
  const established = 'HTTP/1.1 200 Connection Established\r\n\r\n'
  socket.write(connectHead(target.address))
  t.equal((await readBytes(socket, established.length)).toString(), established)
  await echoOver(socket, 'served to its end')
  socket.destroy()
  t.strictSame(await within(server.ended, 'its end', 10_000), { code: 0, signal: null })
})

t.test('a server that shuts down takes no new agents', async (t) => {
  const { server } = await startTunnel(t, { pki })
  const open = await openTunnel(server, target.address)
  server.signal('SIGTERM')
  await server.logged('shutting down')
  await t.rejects(connectAgentPort(t, server), { code: 'ECONNREFUSED' })
  await echoOver(open, 'this one goes on')
  open.destroy()
  t.strictSame(await within(server.ended, 'its end', 10_000), { code: 0, signal: null })
})

t.test(
  'a server comes up at once on the ports of the one before it, whatever the clients of that one do',
  async (t) => {
    const names = ['server', 'agent', 'health', 'admin']
    const ports = await Promise.all(names.map(async (name) => `--${name}-port=${await ownPort()}`))
    const flags = ['--server-listen-any=false', ...ports]
    const { server, agent } = await startTunnel(t, { pki, flags })
    const open = await openTunnel(server, target.address)
    await echoOver(open, 'a connection that the server ends lingers in the kernel')
    server.signal('SIGTERM')
    await server.logged('shutting down')
    server.signal('SIGTERM')
    await server.ended
    const again = await startServer(t, { pki, flags })
    t.equal(again.frontendPort, server.frontendPort)
    await agent.logged('connected', 2)
    const socket = await openTunnel(again, target.address)
    await echoOver(socket, 'through the new one')
    socket.destroy()
    open.destroy()
  },
)
