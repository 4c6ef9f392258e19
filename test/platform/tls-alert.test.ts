import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { tlsErrorText } from '../../src/platform/tls-alert.ts'

/** What Node says of a peer that answers a ClientHello with this fatal alert. */
async function errorOf(t: Test, alert: number): Promise<Error> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, alert])))
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const [error] = (await once(connect({ host: '127.0.0.1', port }), 'error')) as [Error]
  return error
}

t.test('says what an alert means', async (t) => {
  for (const [alert, words] of [
    [48, 'unknown_ca: it does not know the CA of our certificate'],
    [80, 'internal_error: it failed, or the front door before it has no backend that takes us'],
    [112, 'unrecognized_name: it, or the front door before it, serves nobody by the name that we asked for'],
    [116, 'certificate_required: it asks for a certificate, and we have none'],
    [120, 'no_application_protocol: it, or the front door before it, speaks none of our protocols'],
    [90, 'alert 90'],
  ] as const) {
    t.equal(tlsErrorText(await errorOf(t, alert)), `the server ended the TLS handshake: ${words}`)
  }
})

t.test('leaves other errors as they are', async (t) => {
  t.equal(tlsErrorText(new Error('connect ECONNREFUSED 127.0.0.1:1')), 'connect ECONNREFUSED 127.0.0.1:1')
})
