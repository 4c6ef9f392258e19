import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import type { TlsMaterial } from '../../src/platform/tls-material.ts'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import { watchTlsPorts } from '../../src/proxy-server/tls-ports.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const [front, back, renewed] = await Promise.all(
  [1, 2, 3].map(() => issueLeaf(authority, { dnsNames: ['hub.example'] })),
)
const ca = authority.certificatePem

const LOOK_MS = 5_000

/** What is new counts when two looks have found it. */
function lookTwice(clock: ReturnType<typeof manualClock>): void {
  for (let look = 0; look < 2; look++) clock.advance(LOOK_MS)
}

function setup(t: Test, more: Partial<ServerOptions> = {}) {
  const folder = t.testdir({
    'front.crt': front!.certificatePem,
    'front.key': front!.keyPem,
    'back.crt': back!.certificatePem,
    'back.key': back!.keyPem,
    'ca.crt': ca,
  })
  const path = (name: string): string => join(folder, name)
  const options = {
    udsName: '',
    serverCert: path('front.crt'),
    serverKey: path('front.key'),
    serverCaCert: path('ca.crt'),
    clusterCert: path('back.crt'),
    clusterKey: path('back.key'),
    clusterCaCert: path('ca.crt'),
    ...more,
  } as ServerOptions
  const clock = manualClock()
  const log = recordedLog()
  const watch = () => {
    const ports = watchTlsPorts(options, clock, log)
    t.teardown(() => ports[Symbol.dispose]())
    return ports
  }
  const write = (name: string, text: string): void => writeFileSync(path(name), text)
  return { path, write, clock, log, watch }
}

t.test('gives each port its own material', async (t) => {
  const ports = setup(t).watch()
  t.strictSame(ports.material('frontend'), { cert: front!.certificatePem, key: front!.keyPem, ca })
  t.strictSame(ports.material('agent'), { cert: back!.certificatePem, key: back!.keyPem, ca })
  t.strictSame(ports.alarms(), { frontend: false, agent: false })
})

t.test('has no material for a frontend on a Unix socket, and none for a CA that is not given', async (t) => {
  const ports = setup(t, {
    udsName: '/run/culvert.sock',
    serverCert: '',
    serverKey: '',
    serverCaCert: '',
    clusterCaCert: '',
  }).watch()
  t.strictSame(ports.material('frontend'), {})
  t.strictSame(ports.material('agent'), { cert: back!.certificatePem, key: back!.keyPem })
  t.strictSame(ports.alarms(), { frontend: false, agent: false })
})

t.test('hands new material to its port only, and says so', async (t) => {
  const { watch, write, clock, log } = setup(t)
  const ports = watch()
  const handed: [string, TlsMaterial][] = []
  ports.renewWith('agent', (material) => handed.push(['agent', material]))
  ports.renewWith('frontend', (material) => handed.push(['frontend', material]))
  write('back.crt', renewed!.certificatePem)
  write('back.key', renewed!.keyPem)
  lookTwice(clock)
  const material = { cert: renewed!.certificatePem, key: renewed!.keyPem, ca }
  t.strictSame(handed, [['agent', material]])
  t.strictSame(ports.material('agent'), material)
  t.match(log.lines, [{ level: 'info', message: /changed/, fields: { port: 'agent' } }])
  clock.advance(LOOK_MS)
  t.equal(handed.length, 1)
})

t.test('a CA that both ports share renews both', async (t) => {
  const { watch, write, clock } = setup(t)
  const ports = watch()
  const handed: string[] = []
  ports.renewWith('agent', () => handed.push('agent'))
  ports.renewWith('frontend', () => handed.push('frontend'))
  write('ca.crt', `${ca}\n${ca}`)
  lookTwice(clock)
  t.strictSame(handed.sort(), ['agent', 'frontend'])
})

t.test('a port that nobody listens on yet reads what is current when it begins', async (t) => {
  const { watch, write, clock } = setup(t)
  const ports = watch()
  write('back.crt', renewed!.certificatePem)
  write('back.key', renewed!.keyPem)
  lookTwice(clock)
  t.equal(ports.material('agent').cert, renewed!.certificatePem)
})

t.test('raises the alarm of the port whose files break, keeps what was good, and lowers it again', async (t) => {
  const { watch, write, path, clock, log } = setup(t)
  const ports = watch()
  rmSync(path('front.key'))
  lookTwice(clock)
  t.strictSame(ports.alarms(), { frontend: true, agent: false })
  t.equal(ports.material('frontend').key, front!.keyPem)
  write('front.key', front!.keyPem)
  clock.advance(LOOK_MS)
  t.strictSame(ports.alarms(), { frontend: false, agent: false })
  t.match(log.lines, [
    { level: 'error', fields: { port: 'frontend', reason: /^--server-key: could not read/ } },
    { level: 'info', message: /good again/, fields: { port: 'frontend' } },
  ])
})

t.test('says every mistake in the files of both ports at once, and watches nothing then', async (t) => {
  const { watch, write, path, clock } = setup(t)
  write('front.crt', 'x')
  rmSync(path('back.key'))
  t.throws(watch, {
    code: 'bad-option',
    message:
      /^--server-cert: .* holds no certificate in PEM form\n--cluster-key: could not read .*: there is no such file$/,
  })
  t.equal(clock.waiting(), 0)
})

t.test('does not go on watching one port when the other cannot start', async (t) => {
  const { watch, write, clock } = setup(t)
  write('back.crt', 'x')
  t.throws(watch, { code: 'bad-option', message: /^--cluster-cert: / })
  t.equal(clock.waiting(), 0)
})

t.test('looks no more once it is disposed of', async (t) => {
  const { watch, write, clock } = setup(t)
  const ports = watch()
  ports.renewWith('agent', () => t.fail('disposed of'))
  t.equal(clock.waiting(), 2)
  ports[Symbol.dispose]()
  write('back.crt', renewed!.certificatePem)
  write('back.key', renewed!.keyPem)
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
})
