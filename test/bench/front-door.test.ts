import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import t from 'tap'
import { makeCertificates } from '../../bench/certificates.ts'
import { throughHaproxy } from '../../bench/peers/haproxy.ts'
import { throughRouter } from '../../bench/peers/router.ts'
import { oneMachine } from '../../bench/places.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { connectHead, echoOver, readBytes } from '../integration/client.ts'
import { event } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { hasHaproxy } from '../programs/haproxy.ts'

const noHaproxy = (await hasHaproxy()) ? false : 'haproxy is not installed'

for (const peer of [throughRouter, throughHaproxy]) {
  const skip = peer === throughHaproxy && noHaproxy
  t.test(`${peer.name} carries clients and agents through its front door, by one port`, { skip }, async (t) => {
    const certificates = await makeCertificates(temporaryFolder(t))
    const target = await listenTarget(t, echo)
    await peer.prepare(temporaryFolder(t))
    for (const frontend of ['tls', 'unix'] as const) {
      const how = { frontend, folder: temporaryFolder(t), certificates, places: oneMachine }
      await using running = await peer.start(how)
      running.assertRunning()
      if (running.frontend.kind !== 'tls') continue // its clients go past the door, and its agent has come through
      const { host, port, servername } = running.frontend
      t.equal(port, running.agentPort, 'one port for all')
      const [ca, cert, key] = [certificates.ca, certificates.client.cert, certificates.client.key].map((path) =>
        readFileSync(path),
      )
      const socket = connect({ host, port, ca, cert, key, ...(servername !== undefined && { servername }) })
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
}
