/** `culvert sni-router` as a program, as far as it comes without a client: what it refuses, and what it says of itself. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../integration/certificates.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { culvert, type Ended } from './run-culvert.ts'

const router = (...argv: string[]): Promise<Ended> => culvert('sni-router', ...argv)

t.test('a command line or configuration with mistakes is refused with all of them', async (t) => {
  t.match(await router(), {
    code: 1,
    stderr: /^culvert sni-router: --config: must be set\n"culvert sni-router --help"/,
  })
  t.match(await router('--config=/nowhere', '--health-port=x', '--loud'), {
    code: 1,
    stderr: /--health-port(.|\n)*loud|loud(.|\n)*--health-port/,
  })
  const file = join(temporaryFolder(t), 'front-door.yaml')
  writeFileSync(file, 'listen:\n  - port: 443\nroutes:\n  - name: a\n    host: a.example\n    backends: ["a:b"]\n')
  for (const flags of [[], ['--check']]) {
    const { code, stderr } = await router(`--config=${file}`, ...flags)
    t.equal(code, 1)
    t.match(stderr, /front-door\.yaml:4: routes\[0\]: hosts must be set\n/)
    t.match(stderr, /front-door\.yaml:5: routes\[0\]\.host: expected one of name, hosts, .* got the key "host"\n/)
  }
  writeFileSync(file, 'listen:\n  - port: 443\nroutes:\n  - name: a\n    hosts: [a.example]\n    backends: ["a:b"]\n')
  t.match(await router(`--config=${file}`, '--check'), {
    code: 1,
    stderr: /:6: routes\[0\]\.backends\[0\]: expected host:port/,
  })
  writeFileSync(file, 'listen:\n  - port: 443\nroutes:\n  - name: a\n    hosts: [a.example]\n    backends: ["a:1"]\n')
  t.match(await router(`--config=${file}`, '--check'), { code: 0, stdout: `${file} is good: 1 routes\n`, stderr: '' })
  writeFileSync(file, 'listen:\n  - port: 443\nroutes: []\n')
  t.match(await router(`--config=${file}`, '--check'), { code: 0, stderr: /warning: there is no route and no default/ })
})

t.test('help says what each flag does, with examples', async (t) => {
  const { code, stdout } = await router('--help')
  t.equal(code, 0)
  t.match(stdout, /Usage: culvert sni-router \[flags\]\n\nFlags:\n {2}--config file \(required\)/)
  t.match(stdout, /Examples:\n/)
  t.notMatch(stdout, /konnectivity:/)
})

t.test('a port that is taken is told with its place in the configuration', async (t) => {
  const target = await listenTarget(t, echo)
  const file = join(temporaryFolder(t), 'front-door.yaml')
  writeFileSync(file, `listen:\n  - address: 127.0.0.1\n    port: ${target.port}\nroutes: []\n`)
  t.match(await router(`--config=${file}`, '--health-port=0'), {
    code: 1,
    stderr: /listen\[0\]: could not listen on 127\.0\.0\.1, port \d+: something else/,
  })
})

t.test('a command line that is good but for the version asked for says only that', async (t) => {
  const { code, stdout } = await router('--version')
  t.equal(code, 0)
  t.match(stdout, /^culvert \d+\.\d+\.\d+\n$/)
})
