/** A free port for konnectivity's programs, which know no "any port" and refuse those over 49151. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'

/** Below 32768 no outgoing connection takes one away; up to 10080 there are some that `fetch` does not go to (WHATWG Fetch, "port blocking"). */
const LOWEST = 10_081
const HIGHEST = 32_000

/** Free a moment ago, and given to nobody else by this process or another that asks here. */
export async function freePort(): Promise<number> {
  while (true) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST))
    if ((await claim(port)) && (await isFree(port))) return port
  }
}

/** By its namesake of UDP, which none of these programs uses, for as long as the process lives. */
function claim(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4')
    socket.once('error', () => resolve(false))
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => {
      socket.unref()
      resolve(true)
    })
  })
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
