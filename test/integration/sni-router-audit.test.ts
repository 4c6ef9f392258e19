/** What the front door writes to its audit log: who was joined to which backend, the end of that, and who was turned away. */
import { existsSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { nodeHello } from '../sni-router/hellos.ts'
import { auditHas, chainProblems } from './audit-log.ts'
import { temporaryFolder } from './certificates.ts'
import { endOf } from './client.ts'
import { eventually, within } from './deadline.ts'
import { connectRaw, nextBackend, startFrontDoor } from './front-door.ts'
import { echo, listenTarget } from './target.ts'

const known = await nodeHello({ servername: 'a.example' })
const unknown = await nodeHello({ servername: 'b.example' })

t.test(
  'each client has a line with the source that the balancer names, and an end, the last ones at the shutdown',
  async (t) => {
    const log = join(temporaryFolder(t), 'audit.log')
    const target = await listenTarget(t, echo)
    const router = await startFrontDoor(
      t,
      { routes: [{ name: 'a', hosts: ['a.example'], backends: [target.address] }] },
      { flags: [`--audit-log-file=${log}`, '--drain-timeout=100ms'], proxyProtocolFrom: ['127.0.0.1/32'] },
    )
    async function come(ip: string, hello: Buffer) {
      const client = await connectRaw(t, router.port)
      client.write(Buffer.concat([Buffer.from(`PROXY TCP4 ${ip} 192.0.2.2 4711 443\r\n`), hello]))
      return client
    }
    const joined = async (ip: string) => {
      const reached = nextBackend(target)
      const client = await come(ip, known)
      await reached()
      return client
    }
    const about = (ip: string) => ({
      ...{ source: `${ip}:4711`, destination: 'a.example' },
      ...{ rule: 'a', address: target.address },
    })

    const first = await joined('192.0.2.7')
    await auditHas(log, { event: 'client', ...about('192.0.2.7'), verdict: 'allowed', outcome: 'connected' })
    first.resume().end()
    await auditHas(log, { event: 'end', ...about('192.0.2.7'), outcome: 'finished' })
    await endOf(await come('192.0.2.8', unknown))
    await auditHas(log, { event: 'client', source: '192.0.2.8', verdict: 'refused', reason: 'no-route' })

    renameSync(log, `${log}.1`)
    router.signal('SIGHUP')
    await eventually('a new file', () => existsSync(log), Boolean)
    const second = await joined('192.0.2.9')
    await auditHas(log, { event: 'client', ...about('192.0.2.9') })
    router.signal('SIGTERM')
    await within(router.ended, 'its end')
    second.destroy()
    await auditHas(log, { event: 'end', ...about('192.0.2.9'), outcome: 'reset', reason: 'shutdown' })
    await auditHas(log, { event: 'stopped' })
    t.strictSame(chainProblems(`${log}.1`, log), [])
  },
)
