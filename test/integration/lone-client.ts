/**
 * A client of gRPC mode in a process of its own, which a test may stop: it dials what it is told to, says "open", and reads.
 *
 *   node lone-client.ts <JSON: how to connect> <host:port of the target>
 */
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { grpcMessage } from './wire.ts'

export type LoneFrontend =
  | { readonly path: string }
  | { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string }

const [how = '', address = ''] = process.argv.slice(2)
const to = JSON.parse(how) as LoneFrontend
const http = connectHttp2('http://frontend', {
  createConnection: () =>
    'path' in to ? connectTcp(to.path) : connectTls({ host: '127.0.0.1', ...to, ALPNProtocols: ['h2'] }),
})
http.on('close', () => process.exit())
const call = http.request({
  ':method': 'POST',
  ':path': '/ProxyService/Proxy',
  'content-type': 'application/grpc',
  te: 'trailers',
})
call.write(grpcMessage(encodePacket({ type: 'DIAL_REQ', protocol: 'tcp', address, random: 7 })))
call.once('data', () => process.stdout.write('open\n'))
