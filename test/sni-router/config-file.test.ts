import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig, watchConfig } from '../../src/sni-router/config-file.ts'
import { configWarnings } from '../../src/sni-router/core/config.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { manualClock } from '../platform/manual-clock.ts'

const problems = (text: string): readonly string[] => {
  const loaded = loadConfig('f.yaml', text)
  return loaded.ok ? [] : loaded.problems
}
const good = 'listen: [{port: 443}]\nroutes: []\n'

t.test('takes the sample of config/, and what docs/front-door.md shows of it', async (t) => {
  const text = readFileSync(join(import.meta.dirname, '../../config/sni-router.yaml'), 'utf8')
  t.match(loadConfig('sample', text), {
    ok: true,
    value: {
      routes: [{ name: 'eu-1-agents', alpn: ['h2', 'culvert-lane/1'] }, { name: 'eu-1-frontends', alpn: [] }, {}, {}],
    },
  })
})

t.test('says of each mistake its line, its place and what to do', async (t) => {
  t.strictSame(problems(good), [])
  t.match(problems(''), ['f.yaml: expected one YAML document, got 0'])
  t.match(problems(`${good}---\n${good}`), ['f.yaml: expected one YAML document, got 2'])
  t.match(problems('listen: [{port: 443}]\n'), ['f.yaml:1: routes, default or both must be set'])
  t.match(problems('[]'), [/^f\.yaml:1: expected a map, got \[\]$/])
  t.match(problems('-----BEGIN PRIVATE KEY-----\nhunter2\n'), ['f.yaml:1: expected a map, got a text alone'])
  t.match(problems(`${good}limits:\n  connections: many\n  pending: 1\n`), [
    /^f\.yaml:5: limits\.pending: expected one of connections, .* got the key "pending"$/,
    /^f\.yaml:4: limits\.connections: expected a whole number, got "many"$/,
  ])
  t.match(problems(`${good}limits:\n  connections: 1\n  a/~1b: 1\n`), [
    /^f\.yaml:5: limits\.a\/~1b: expected one of connections, .* got the key "a\/~1b"$/,
  ])
  t.match(problems(`${good}default:\n  backends: [a:1]\n  proxyProtocol: v3\n`), [
    /^f\.yaml:5: default\.proxyProtocol: expected one of none, v1, v2, got "v3"$/,
  ])
  t.match(problems(`${good}healthCheck: {interval: 5}`), [
    /^f\.yaml:3: healthCheck\.interval: expected a duration such as 250ms, 10s or 5m, got 5$/,
  ])
  t.match(problems('listen: [{port: 70000}]\nroutes: [{name: A b, hosts: [a], backends: [a:1]}]\n'), [
    /listen\[0\]\.port: expected at most 65535, got 70000$/,
    /routes\[0\]\.name: expected a name of 1 to 63 lower-case letters, .* got "A b"$/,
  ])
})

t.test('needs a route or a default, and warns of routes that are none', async (t) => {
  t.strictSame(problems('listen: [{port: 443}]\ndefault: {backends: [a:1]}\n'), [])
  const warningsOf = (text: string) => {
    const loaded = loadConfig('f.yaml', text)
    return loaded.ok ? configWarnings(loaded.value) : undefined
  }
  t.strictSame(warningsOf(good), ['there is no route and no default: everybody is refused'])
  t.strictSame(warningsOf(`${good}default: {backends: [a:1]}\n`), [])
})

t.test('uses a new file as a whole, and takes another place to listen for a mistake', async (t) => {
  const file = join(temporaryFolder(t), 'f.yaml')
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(good)
  const clock = manualClock()
  const told: string[] = []
  using watch = watchConfig(file, clock, {
    changed: ({ routes }) => told.push(`changed ${routes.length}`),
    broken: ({ message }) => told.push(message),
    mended: () => told.push('mended'),
  })
  write('listen: [{port: 443, proxyProtocolFrom: [10.0.0.1]}]\nroutes: [{name: a, hosts: [a.b], backends: [a:1]}]\n')
  for (let look = 0; look < 2; look++) clock.advance(5_000)
  t.strictSame(told, ['changed 1'])
  write('listen: [{port: 444}]\nroutes: []\n')
  for (let look = 0; look < 2; look++) clock.advance(5_000)
  t.match(told[1], /listen has changed: restart to listen elsewhere, or put it back$/)
  t.equal(watch.current().routes.length, 1)
  write(good)
  for (let look = 0; look < 2; look++) clock.advance(5_000)
  t.strictSame(told.slice(2), ['mended', 'changed 0'])
  t.throws(() => watchConfig(`${file}.none`, clock, { changed() {}, broken() {}, mended() {} }), {
    code: 'bad-option',
    message: /^--config: /,
  })
})
