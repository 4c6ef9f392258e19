import t from 'tap'
import { openHealthPort } from '../../src/proxy-agent/health-port.ts'

const options = { healthServerHost: '127.0.0.1', healthServerPort: 0 }

t.test(
  'an agent that joins is alive and not ready, and then says what it is told to say, on the same port',
  async (t) => {
    using health = await openHealthPort(options)
    const ask = async (path: string): Promise<readonly [number, string]> => {
      const answer = await fetch(`http://127.0.0.1:${health.port}${path}`, { headers: { connection: 'close' } })
      return [answer.status, await answer.text()]
    }
    t.strictSame(await ask('/healthz'), [200, 'ok'])
    t.strictSame(await ask('/readyz'), [503, '[+]ping ok\n[-]server-connected failed: joining the hub\n'])
    t.strictSame(await ask('/metrics'), [200, ''])
    const registry = { metrics: async () => 'up 1\n', contentType: 'text/plain' } as never
    health.serve({ whenNot: 'agent', checks: [] }, registry, () => undefined)
    t.strictSame(await ask('/readyz'), [200, 'ok'])
    t.strictSame(await ask('/metrics'), [200, 'up 1\n'])
  },
)

t.test('a port that is taken is a mistake in the options, and one that was given back is free', async (t) => {
  const first = await openHealthPort(options)
  const same = { ...options, healthServerPort: first.port }
  await t.rejects(openHealthPort(same), { code: 'bad-option', message: /--health-server-port/ })
  first[Symbol.dispose]()
  using again = await openHealthPort(same)
  t.equal(again.port, first.port)
})
