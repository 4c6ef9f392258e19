/** Agents by hand that show another certificate on the connection that they have. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { NEW_CERTIFICATE_PATH, writeNewCertificate } from '../../src/pki/new-certificate.ts'
import { provePossession } from '../../src/pki/possession.ts'
import type { Leaf } from './certificates.ts'
import { event } from './deadline.ts'
import type { WireAgent } from './wire-agent.ts'

export async function show(
  { http }: WireAgent,
  body: string,
): Promise<{ readonly status: number; readonly text: string }> {
  const request = http.request({ ':method': 'POST', ':path': NEW_CERTIFICATE_PATH })
  request.on('error', () => undefined)
  let [status, text] = [0, '']
  request.on('response', (headers) => {
    status = headers[':status'] ?? 0
  })
  request.on('data', (chunk) => {
    text += String(chunk)
  })
  request.end(body)
  await event(request, 'close')
  return { status, text }
}

/** What is shown, with the proof of its key for this connection. */
export const proved = (agent: WireAgent, leaf: Leaf, key = leaf.key, socket = socketOf(agent)): string =>
  writeNewCertificate(leaf.cert, provePossession(socket, new X509Certificate(leaf.cert), createPrivateKey(key)))

/** The connection under HTTP/2, which Node hides behind a proxy that forbids next to nothing. Only while it is open. */
export function socketOf({ http }: WireAgent): TLSSocket {
  const symbol = Object.getOwnPropertySymbols(http).find(({ description }) => description === 'socket')
  return (http as unknown as Record<symbol, TLSSocket>)[symbol!]!
}
