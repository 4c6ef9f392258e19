/** A server that knows konnectivity's protocol and no other, by @grpc/grpc-js. */
import { Server as GrpcServer, Metadata, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import type { Test } from 'tap'
import type { Pki } from './certificates.ts'
import { agentService, type Stock, type StockPacket, speakStock } from './stock-peer.ts'

type Call = ServerDuplexStream<StockPacket, object>
export type StockStream = Stock & { readonly metadata: Metadata; readonly call: Call }
export type StockServer = { readonly agentPort: number; readonly streams: readonly StockStream[] }

/** A server for agents: what each of them sends is kept, and the test answers. */
export async function stockServer(t: Test, pki: Pki, id = 's-1', count = 1): Promise<StockServer> {
  const streams: StockStream[] = []
  const server = new GrpcServer()
  server.addService(agentService, {
    Connect(call: Call) {
      streams.push({ ...speakStock(call), metadata: call.metadata, call })
      const answer = new Metadata()
      answer.set('serverID', id)
      answer.set('serverCount', String(count))
      call.sendMetadata(answer)
      call.on('end', () => call.end())
    },
  })
  const { server: leaf, authority } = pki
  const [ca, key, cert] = [authority.certificatePem, leaf.key, leaf.cert].map((pem) => Buffer.from(pem))
  const tls = ServerCredentials.createSsl(ca!, [{ private_key: key!, cert_chain: cert! }], true)
  t.teardown(() => server.forceShutdown())
  const agentPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', tls, (error, port) => (error ? reject(error) : resolve(port))),
  )
  return { agentPort, streams }
}
