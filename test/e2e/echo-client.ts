/**
 * Opens connections to an echo server at once, from inside a network namespace, and compares what comes back.
 *
 *   node echo-client.ts <port of 127.0.0.1> <connections> <bytes>    prints how many got every byte back
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { promisify } from 'node:util'

const DEADLINE_MS = 60_000
const run = promisify(execFile)

/** How many of the connections got all their bytes back unchanged. */
export async function echoAtOnce(namespace: string, port: number, connections: number, bytes: number): Promise<number> {
  const args = [port, connections, bytes].map(String)
  const command = ['netns', 'exec', namespace, process.execPath, import.meta.filename, ...args]
  const { stdout } = await run('ip', command, { timeout: DEADLINE_MS })
  return Number(stdout)
}

function comesBack(port: number, bytes: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const sent = randomBytes(bytes)
  const received: Buffer[] = []
  let receivedBytes = 0
  const socket = connect({ port, host: '127.0.0.1', timeout: DEADLINE_MS / 2 }, () => socket.write(sent))
  const end = (): void => {
    resolve(Buffer.concat(received).equals(sent))
    socket.destroy()
  }
  socket.on('data', (chunk: Buffer) => {
    received.push(chunk)
    receivedBytes += chunk.length
    if (receivedBytes >= bytes) end()
  })
  for (const event of ['end', 'error', 'timeout']) socket.on(event, end)
  return promise
}

if (import.meta.main) {
  const [port = 0, connections = 0, bytes = 0] = process.argv.slice(2).map(Number)
  const all = await Promise.all(Array.from({ length: connections }, () => comesBack(port, bytes)))
  process.stdout.write(String(all.filter(Boolean).length))
}
