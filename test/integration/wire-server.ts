/** A server made by hand, which says what an honest one never would. */
import { performServerHandshake, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { LANE_ALPN } from '../../src/tunnel/lane.ts'
import type { Pki } from './certificates.ts'
import { event } from './deadline.ts'
import { speakGrpc, type Wire } from './wire.ts'

export type WirePeer = Wire & {
  readonly stream: ServerHttp2Stream
  readonly headers: Record<string, unknown>
  readonly socket: TLSSocket
}
export type Reply = (stream: ServerHttp2Stream, peer: WirePeer) => void

/**
 * A port that answers each stream with `reply`; `next` is the stream that comes next.
 *
 * @param takes whether somebody else speaks on a connection: HTTP/2 by hand, or as a lane
 */
export async function listenAsServer(
  t: Test,
  { server: leaf, authority }: Pick<Pki, 'server' | 'authority'>,
  reply: Reply,
  takes: (socket: TLSSocket) => boolean = () => false,
): Promise<{ readonly agentPort: number; readonly next: () => Promise<WirePeer> }> {
  const listener = createServer({
    cert: leaf.cert,
    key: leaf.key,
    ca: authority.certificatePem,
    requestCert: true,
    ALPNProtocols: ['h2', LANE_ALPN],
  })
  listener.on('secureConnection', (socket) => {
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    if (takes(socket)) return
    const http = performServerHandshake(socket)
    http.on('error', () => undefined)
    http.on('stream', (stream, headers) => {
      stream.on('error', () => undefined)
      const peer: WirePeer = { ...speakGrpc(stream), stream, headers, socket }
      listener.emit('peer', peer)
      reply(stream, peer)
    })
  })
  listener.listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await event(listener, 'listening')
  return { agentPort: (listener.address() as AddressInfo).port, next: () => event<WirePeer>(listener, 'peer') }
}

/** The answer of a server that takes an agent. */
export const taken = { ':status': 200, 'content-type': 'application/grpc', serverid: 's-1', servercount: '1' }
