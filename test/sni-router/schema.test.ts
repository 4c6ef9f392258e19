import t from 'tap'
import { schemaCheck } from '../../src/sni-router/schema.ts'

const check = schemaCheck()
const good = { listen: [{ port: 443 }], routes: [] }
const problems = (value: unknown): readonly { at: string; what: string }[] => {
  const checked = check(value)
  return 'problems' in checked ? checked.problems : []
}

t.test('lets what is good through as it is', async (t) => {
  t.strictSame(check(good), { given: good })
})

t.test('tells every mistake with its place, as a JSON pointer, and of a long value its beginning', async (t) => {
  t.match(problems({ ...good, 'a/~b': 1, limits: { connections: 0 } }), [
    { at: '/a~1~0b', what: /^expected one of listen, routes, .* got the key "a\/~b"$/ },
    { at: '/limits/connections', what: 'expected at least 1, got 0' },
  ])
  t.match(problems({ listen: [] }), [
    { at: '', what: 'routes, default or both must be set' },
    { at: '/listen', what: 'expected at least 1 item, got 0' },
  ])
  const [long] = problems({ ...good, routes: 'x'.repeat(500) })
  t.match(long, { at: '/routes', what: /^expected a list, got "x{99}…$/ })
})
