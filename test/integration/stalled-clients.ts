/**
 * Clients that never read, in a process of their own: each asks for the target, reads the 200 and nothing more. Says "open" when
 * all have their answers. They go when the process does.
 *
 *   node stalled-clients.ts <path of the frontend's socket> <host:port of the target> <how many>
 */
import { connect, type Socket } from 'node:net'
import { connectHead } from './client.ts'

/** Fewer than a port has room for in its backlog. */
const AT_ONCE = 64

const [path = '', address = '', count = '0'] = process.argv.slice(2)
const sockets: Socket[] = []
let asked = 0

function open(): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect(path, () => socket.write(connectHead(address)))
  socket.on('error', reject) // one that is hung up on later has been answered: nobody hears that
  socket.once('close', () => reject(new Error('hung up on before the answer')))
  socket.once('data', (answer: Buffer) => {
    socket.pause()
    if (answer.toString('latin1', 0, 12) === 'HTTP/1.1 200') resolve()
    else reject(new Error(`answered with ${answer.toString('latin1', 0, 80)}`))
  })
  sockets.push(socket)
  return promise
}

async function openSome(): Promise<void> {
  while (asked < Number(count)) {
    asked++
    await open()
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, openSome))
process.stdout.write('open\n')
setInterval(() => undefined, 60_000) // sockets that are not read do not keep a process alive
