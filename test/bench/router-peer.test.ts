import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import t from 'tap'
import { makeCertificates } from '../../bench/certificates.ts'
import { throughRouter } from '../../bench/peers/router.ts'
import { oneMachine } from '../../bench/places.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { connectHead, echoOver, readBytes } from '../integration/client.ts'
import { event } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'

t.test('carries clients and agents through the router, over TLS and over a Unix socket', async (t) => {
  const certificates = await makeCertificates(temporaryFolder(t))
  const target = await listenTarget(t, echo)
  await throughRouter.prepare(temporaryFolder(t))
  for (const frontend of ['tls', 'unix'] as const) {
    const how = { frontend, folder: temporaryFolder(t), certificates, places: oneMachine }
    await using peer = await throughRouter.start(how)
    peer.assertRunning()
    if (peer.frontend.kind !== 'tls') continue // its clients go past the router, and its agent has come through
    t.equal(peer.frontend.port, peer.agentPort, 'one port for all')
    const [ca, cert, key] = [certificates.ca, certificates.client.cert, certificates.client.key].map((path) =>
      readFileSync(path),
    )
    const socket = connect({ host: '127.0.0.1', port: peer.frontend.port, ca, cert, key })
    t.teardown(() => socket.destroy())
    await event(socket, 'secureConnect')
    const established = 'HTTP/1.1 200 Connection Established\r\n\r\n'
    const answer = readBytes(socket, established.length)
    socket.write(connectHead(target.address))
    t.equal((await answer).toString(), established)
    await echoOver(socket, 'through both')
    socket.destroy()
  }
})
