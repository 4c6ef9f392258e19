import t from 'tap'
import { type Chosen, readPattern, routeTable } from '../../../src/sni-router/core/routes.ts'

const rule = (name: string, hosts: string, ...alpn: string[]) => ({
  name,
  alpn,
  hosts: hosts.split(' ').flatMap((host) => readPattern(host) ?? []),
})
const routes = [
  rule('exact', 'eu-1.hub.example EU-2.hub.example.'),
  rule('lanes', 'eu-1.hub.example', 'h2', 'culvert-lane/1'),
  rule('wildcard', '*.hub.example'),
  rule('h2-only', 'only.hub.example', 'h2'),
]
const fallback = { name: 'fallback', hosts: [], alpn: [] }
const shown = (chosen: Chosen<{ name: string }>): string => (chosen.kind === 'route' ? chosen.route.name : chosen.kind)
const ask = (name: string | undefined, ...alpn: string[]) => shown(routeTable(routes, undefined)({ name, alpn }))
const askWithDefault = (name: string | undefined, ...alpn: string[]) =>
  shown(routeTable(routes, fallback)({ name, alpn }))

t.test('takes the exact name before the wildcard, which stands for one label', async (t) => {
  t.equal(ask('eu-1.hub.example'), 'exact')
  t.equal(ask('eu-2.hub.example'), 'exact', 'names of the configuration are compared in one form')
  t.equal(ask('eu-3.hub.example'), 'wildcard')
  for (const name of ['hub.example', 'a.eu-1.hub.example', 'example', 'xhub.example', 'other.example']) {
    t.equal(ask(name), 'no-route', name)
  }
})

t.test('takes the route for a protocol that the client offers before the one for any', async (t) => {
  t.equal(ask('eu-1.hub.example', 'h2'), 'lanes')
  t.equal(ask('eu-1.hub.example', 'x', 'culvert-lane/1'), 'lanes')
  t.equal(ask('eu-1.hub.example', 'http/1.1'), 'exact')
})

t.test(
  'refuses a name for which the protocol is missing, and gives it neither to the wildcard nor to the default',
  async (t) => {
    t.equal(ask('only.hub.example', 'h2'), 'h2-only')
    t.equal(ask('only.hub.example'), 'no-protocol')
    t.equal(askWithDefault('only.hub.example', 'http/1.1'), 'no-protocol')
  },
)

t.test('takes the default for names without a route and for clients that name none, if there is one', async (t) => {
  t.equal(ask(undefined), 'no-name')
  t.equal(askWithDefault(undefined), 'fallback')
  t.equal(askWithDefault('other.example'), 'fallback')
  t.equal(askWithDefault('eu-1.hub.example'), 'exact')
})

t.test('knows names that objects have of themselves for what they are: strangers', async (t) => {
  for (const name of ['constructor', '__proto__', 'tostring']) t.equal(ask(name), 'no-route', name)
})

t.test('reads patterns with one asterisk, at their beginning', async (t) => {
  for (const text of ['', '*', '*.', 'a.*', '*a.example', '**.example', 'a..b', '-a', 'a b', '*.*.example']) {
    t.equal(readPattern(text), undefined, text)
  }
  t.strictSame(readPattern('*.Example.'), { kind: 'wildcard', name: 'example' })
})
