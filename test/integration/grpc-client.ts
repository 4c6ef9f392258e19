/** Clients of gRPC mode, by @grpc/grpc-js: calls of ProxyService/Proxy on one HTTP/2 connection. */
import { type ClientDuplexStream, credentials, type StatusObject } from '@grpc/grpc-js'
import type { Test } from 'tap'
import type { Leaf } from './certificates.ts'
import { within } from './deadline.ts'
import { FrontendClient, type Stock, type StockPacket, speakStock } from './stock-peer.ts'
import type { Server } from './tunnel.ts'

export type Call = Stock & {
  /** How the call ended. */
  readonly status: Promise<StatusObject>
  /** Ends the client's side in good order. */
  readonly finish: () => void
  /** Once anything has come: a cancel in the tick of the first write never reaches the server, a defect of @grpc/grpc-js 1.14. */
  readonly cancel: () => void
  /** Whether the server takes what is written; else wait for it. */
  readonly stream: ClientDuplexStream<object, StockPacket>
}

export type GrpcClient = { readonly call: () => Call; readonly close: () => void }

/** A connection of its own, opened with the first call. @param leaf over TLS: the client's certificate */
export function grpcClient(
  t: Test,
  server: Pick<Server, 'pki' | 'transport' | 'socketPath' | 'frontendPort'>,
  leaf: Leaf | 'none' = server.pki.apiserver,
): GrpcClient {
  const { pki, transport, socketPath, frontendPort } = server
  const ca = Buffer.from(pki.authority.certificatePem)
  const trust =
    leaf === 'none'
      ? credentials.createSsl(ca)
      : credentials.createSsl(ca, Buffer.from(leaf.key), Buffer.from(leaf.cert))
  const options = {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': 8 * 1024 * 1024,
    'grpc.ssl_target_name_override': 'hub.example',
  }
  const client =
    transport === 'uds'
      ? new FrontendClient(`unix:${socketPath}`, credentials.createInsecure(), options)
      : new FrontendClient(`127.0.0.1:${frontendPort}`, trust, options)
  t.teardown(() => client.close())
  return {
    close: () => client.close(),
    call() {
      const stream = client.Proxy!() as unknown as ClientDuplexStream<object, StockPacket>
      const ended = new Promise<StatusObject>((resolve) => stream.once('status', resolve))
      const status = within(ended, 'the end of the call', 120_000)
      status.catch(() => undefined) // only some ask
      return Object.assign(speakStock(stream), {
        stream,
        status,
        finish: () => stream.end(),
        cancel: () => stream.cancel(),
      })
    },
  }
}

export const dialRequest = (address: string, random = '7', protocol = 'tcp'): object => ({
  type: 'DIAL_REQ',
  dialRequest: { protocol, address, random },
})
export const dataOf = (connectID: string, data: Buffer | string): object => ({
  type: 'DATA',
  data: { connectID, data: Buffer.from(data) },
})
export const closeRequest = (connectID: string): object => ({ type: 'CLOSE_REQ', closeRequest: { connectID } })
export const closeDial = (random: string): object => ({ type: 'DIAL_CLS', closeDial: { random } })
