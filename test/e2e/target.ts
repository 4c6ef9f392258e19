/**
 * What runs in the pods of the cell: an HTTP server on 9100 and a TCP echo on 9200, on every address of the cell.
 *
 *   GET /hello              says on which address it was reached
 *   GET /place              says in which network namespace it runs, as `placeOf` (network.ts) does
 *   GET /metrics            says the same as /hello to Prometheus
 *   GET /metrics/closing    the same, and closes the connection, as exporters do that know no better
 *   GET /bytes/<n>          n bytes of `patternOf`
 */
import { readlinkSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

export const HTTP_PORT = 9100
export const ECHO_PORT = 9200
const SERIES = 100
const CHUNK_BYTES = 64 * 1024

/** Bytes that differ from place to place, so that a lost, doubled or moved piece changes their hash. */
export function* patternOf(bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += CHUNK_BYTES) {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, bytes - at))
    for (let index = 0; index < chunk.length; index++) chunk[index] = (at + index) % 251
    yield chunk
  }
}

/** About as much as a small exporter gives: a hundred series, each with the address that was reached. */
export function exposition(address: string): string {
  const series = Array.from(
    { length: SERIES },
    (_, index) => `culvert_test_reached{address="${address}",index="${index}"} 1\n`,
  )
  return `# TYPE culvert_test_reached gauge\n${series.join('')}`
}

if (import.meta.main) {
  const http = createHttpServer((request, response) => {
    const [, bytes] = /^\/bytes\/(\d+)$/.exec(request.url ?? '') ?? []
    if (request.url === '/hello') response.end(`hello from ${request.socket.localAddress}\n`)
    else if (request.url === '/place') response.end(readlinkSync('/proc/self/ns/net'))
    else if (request.url?.startsWith('/metrics') === true) {
      response.setHeader('content-type', 'text/plain; version=0.0.4')
      if (request.url === '/metrics/closing') response.setHeader('connection', 'close')
      response.end(exposition(request.socket.localAddress ?? ''))
    } else if (bytes !== undefined) pipeline(Readable.from(patternOf(Number(bytes))), response).catch(() => undefined)
    else response.writeHead(404).end()
  })
  http.listen(HTTP_PORT, '0.0.0.0')
  createServer({ allowHalfOpen: true }, (socket) => {
    pipeline(socket, socket).catch(() => undefined)
  }).listen(ECHO_PORT, '0.0.0.0')
}
