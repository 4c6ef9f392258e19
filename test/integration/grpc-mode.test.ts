/** gRPC mode with real programs: what a client of ProxyService/Proxy sends and gets, over TCP with mTLS and a Unix socket. */
import t from 'tap'
import { closeRequest, dataOf, dialRequest, grpcClient } from './grpc-client.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { startTunnels } from './tunnel.ts'

const tunnels = await startTunnels(t, { flags: ['--mode=grpc'] })

for (const { server } of tunnels) {
  t.test(`over ${server.transport}: carries bytes both ways and closes when asked`, async (t) => {
    const target = await listenTarget(t, echo)
    const call = grpcClient(t, server).call()
    call.send(dialRequest(target.address, '9223372036854775807'))
    const { connectID, error, random } = await call.next('dialResponse')
    t.equal(error ?? '', '')
    t.equal(random, '9223372036854775807', 'an int64 that no double holds')
    call.send(dataOf(connectID, 'hello'))
    t.equal((await call.next('data')).data.toString(), 'hello')
    call.send(closeRequest(connectID))
    t.match(await call.next('closeResponse'), { connectID })
    call.finish()
    t.match(await call.status, { code: 0 })
    t.strictSame(call.strange(), [])
  })

  t.test(`over ${server.transport}: tells of a target that refuses`, async (t) => {
    const call = grpcClient(t, server).call()
    call.send(dialRequest(await closedPort()))
    t.match(await call.next('dialResponse'), {
      error: /^dial tcp 127\.0\.0\.1:\d+: connect: connection refused$/,
      random: '7',
    })
    call.finish()
  })

  t.test(
    `over ${server.transport}: has the agent dial the family that is asked for, and nothing but TCP`,
    async (t) => {
      const target = await listenTarget(t, echo)
      const client = grpcClient(t, server)
      for (const [protocol, address, error] of [
        ['tcp4', target.address, ''],
        ['tcp4', await closedPort(), /^dial tcp4 127\.0\.0\.1:\d+: connect: connection refused$/],
        ['tcp6', target.address, 'dial tcp6: address 127.0.0.1: no suitable address found'],
        ['udp', target.address, 'dial "udp": protocol not supported, only tcp, tcp4 and tcp6 are'],
        ['unix', '/run/x.sock', 'dial "unix": protocol not supported, only tcp, tcp4 and tcp6 are'],
      ] as const) {
        const call = client.call()
        call.send(dialRequest(address, '7', protocol))
        t.match((await call.next('dialResponse')).error ?? '', error, protocol)
        call.finish()
        await call.status
      }
    },
  )
}
