/**
 * One address in front of several servers, as a balancer of TCP connections would be: each connection goes to the next server
 * that takes it.
 *
 *   node balancer.ts <port> <port of a server…>
 */
import { connect, createServer, type Socket } from 'node:net'

const CONNECT_TIMEOUT_MS = 1_000
const [, , port, ...backends] = process.argv
let turn = 0

createServer({ allowHalfOpen: true }, (client) => {
  client.on('error', () => undefined)
  dial(client, backends.length)
}).listen(Number(port))

function dial(client: Socket, tries: number): void {
  if (tries === 0) return void client.destroy()
  const server = connect({ port: Number(backends[turn++ % backends.length]), allowHalfOpen: true })
  server.setTimeout(CONNECT_TIMEOUT_MS, () => server.destroy(new Error('slow')))
  server.once('connect', () => {
    server.setTimeout(0)
    server.removeAllListeners('error').on('error', () => client.destroy())
    client.on('close', () => server.destroy())
    server.on('close', () => client.destroy())
    client.pipe(server).pipe(client)
  })
  server.once('error', () => dial(client, tries - 1))
}
