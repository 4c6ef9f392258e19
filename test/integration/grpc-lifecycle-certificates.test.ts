/** gRPC mode over TLS: who is let in, and certificates that are renewed under connections that stay for days. */
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { type Leaf, makePki } from './certificates.ts'
import { within } from './deadline.ts'
import { counts } from './figures.ts'
import { dialRequest, grpcClient } from './grpc-client.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'
import { connectGrpcFrontend, echoOver, joinFrontend, openCall, overHttp2 } from './wire-call.ts'

const UNAUTHENTICATED = 16
const user = { role: 'user', name: 'alice' } as const
const old = { nowUnixMs: Date.now() - 2 * DAY_MS, lifetimeMs: DAY_MS }
const flags = ['--mode=grpc']

const pki = await makePki(t)
const { server } = await startTunnel(t, { pki, flags })
const target = await listenTarget(t, echo)
const beside = openCall(await joinFrontend(t, server))
const besideId = await beside.dial(target.address)
const foreignCa = await createAuthority({ trustDomain: 'hub.example' })

for (const [what, leaf, cause] of [
  ['no certificate', undefined, 'none was sent'],
  [
    'one of another CA',
    await pki.issue('foreign', { identity: user }, foreignCa),
    'it was not issued by the CA of this server',
  ],
  ['an expired one', await pki.issue('old', { identity: user, ...old }), 'it has expired'],
  [
    'one for servers',
    await pki.issue('serves', { identity: user, usages: ['serve'] }),
    'it is not a certificate for clients',
  ],
  ["an agent's", pki.agent, 'it is an agent certificate, and this port is for apiserver and user certificates'],
] as readonly [string, Leaf | undefined, string][]) {
  t.test(`a client of gRPC that brings ${what} is told why it is not served`, async (t) => {
    await counts(server, 'culvert_server_forbidden_clients_total{port="frontend"}', 1, async () => {
      const call = grpcClient(t, server, leaf ?? 'none').call()
      call.send(dialRequest(target.address))
      t.match(await call.status, {
        code: UNAUTHENTICATED,
        details: `client certificate not accepted: ${cause}`,
      })
      t.strictSame(call.received, [])
    })
    await echoOver(beside, besideId, what)
  })
}

t.test('a client that does not trust the server, or not under that name, does not come to a call', async (t) => {
  const other = await makePki(t)
  const before = server.log.length
  const call = grpcClient(t, { ...server, pki: { ...other, apiserver: pki.apiserver } }).call()
  call.send(dialRequest(target.address))
  t.match(await call.status, { code: 14 })
  t.notOk(server.log.slice(before).some(({ level }) => level === 'warn' || level === 'error'))
  await echoOver(beside, besideId, 'beside it')
})

t.test(
  'certificates that are renewed are used by new connections, and what is open notices only that its CA is gone',
  async (t) => {
    const own = await makePki(t)
    const { server } = await startTunnel(t, { pki: own, flags })
    const socket = (await connectGrpcFrontend(t, server)) as TLSSocket
    const http = overHttp2(t, socket)
    const open = openCall(http)
    const id = await open.dial(target.address)
    const nextCa = await createAuthority({ trustDomain: 'hub.example' })
    const nextUser = await own.issue('next', { identity: user }, nextCa)
    const renewed = await own.issue('server', { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] })
    writeFileSync(own.caFile, own.authority.certificatePem + nextCa.certificatePem)
    await server.logged('TLS files changed, new handshakes use them', 2) // of both ports
    const after = (await connectGrpcFrontend(t, server, nextUser)) as TLSSocket
    t.equal(after.getPeerX509Certificate()?.serialNumber, new X509Certificate(renewed.cert).serialNumber)
    const late = openCall(overHttp2(t, after))
    const lateId = await late.dial(target.address)
    await echoOver(late, lateId, 'a client of a CA that was added')
    await echoOver(open, id, 'a call that was open')
    const another = openCall(http)
    await echoOver(another, await another.dial(target.address), 'another call on a connection from before')
    t.notOk(http.closed)

    writeFileSync(own.caFile, nextCa.certificatePem)
    const closed = new Promise((resolve) => http.once('close', resolve)) // in whatever way
    await server.logged('TLS files changed, new handshakes use them', 4)
    await within(closed, 'it is hung up on') // its CA has been taken away
    const refused = openCall(await joinFrontend(t, server, own.apiserver))
    t.match(await refused.ended(), { code: UNAUTHENTICATED })
    t.equal(after.destroyed, false, 'a client whose CA stays')
  },
)
