/**
 * A target in a process of its own, which sends so many bytes to each who connects and reads nothing. Says its port.
 *
 *   node flooding-target.ts <bytes>
 */
import { type AddressInfo, createServer } from 'node:net'

const flood = Buffer.alloc(Number(process.argv[2]), 'flood')
const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => undefined) // they are reset
  socket.write(flood)
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
