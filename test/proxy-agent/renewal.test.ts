import type { LookupFunction } from 'node:net'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import t from 'tap'
import { issueLeaf } from '../../src/pki/leaf.ts'
import type { TlsMaterial } from '../../src/platform/tls-material.ts'
import { startRenewal } from '../../src/proxy-agent/renewal.ts'
import { createRenewalMetrics } from '../../src/proxy-agent/renewal-metrics.ts'
import { makePki } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const HOUR_MS = 3_600_000
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const FAILING = 'culvert_agent_certificate_renewal_failing'

t.test(
  'the alarm of a renewal that fails is over when somebody else has put a new certificate in its place',
  async (t) => {
    const { authority, folder } = await makePki(t)
    const clock = manualClock()
    const startUnixMs = Date.now()
    const certificate = async (lifetimeMs: number): Promise<TlsMaterial> => {
      const { certificatePem: cert, keyPem: key } = await issueLeaf(authority, { identity, lifetimeMs })
      return { cert, key, ca: authority.certificatePem }
    }
    let material = await certificate(HOUR_MS)
    let asked = 0
    const lookup: LookupFunction = (_host, _options, done) => {
      asked++
      done(new Error('there is no such hub'), '')
    }
    const log = recordedLog()
    const registry = new Registry()
    const deps = {
      clock: { ...clock, unixMs: () => startUnixMs + clock.now() },
      log,
      random: () => 0,
      tls: {
        current: () => material,
        alarm: () => undefined,
        check: () => undefined,
        reload: () => undefined,
        [Symbol.dispose]: () => undefined,
      },
      metrics: createRenewalMetrics(registry),
    }
    const isFailing = async (): Promise<unknown> => (await registry.getSingleMetric(FAILING)?.get())?.values[0]?.value
    const protocol = { minVersion: 'TLSv1.3', ciphers: '' } as const
    const hub = { host: 'hub.invalid', port: 1, protocol, alpn: [], lookup }
    using _renewal = startRenewal([hub], { cert: join(folder, 'a.crt'), key: join(folder, 'a.key') }, deps)
    const passHour = (): void => {
      for (let passed = 0; passed < HOUR_MS; passed += 60_000) clock.advance(60_000)
    }
    passHour()
    const failures = (): number => log.messages('error').length
    await eventually('a renewal fails', failures, (count) => count === 1)
    t.strictSame([asked, await isFailing()], [1, 1])

    material = await certificate(1_000 * HOUR_MS)
    passHour()
    t.strictSame([asked, failures(), await isFailing()], [1, 1, 0])
  },
)
