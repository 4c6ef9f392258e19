import t from 'tap'
import { canonicalName, canonicalPattern, isNamedBy } from '../../../src/policy/core/name.ts'
import { createRandom } from '../../platform/random.ts'

t.test('one form for all spellings', async (t) => {
  for (const name of ['db.example.com', 'DB.Example.COM', 'db.example.com.', 'DB.EXAMPLE.COM.']) {
    t.equal(canonicalName(name), 'db.example.com')
  }
  t.equal(canonicalName('10-0-0-1.ns.pod'), '10-0-0-1.ns.pod')
  t.equal(canonicalName('_dns._udp.x'), '_dns._udp.x')
  t.equal(canonicalName(`${'a'.repeat(253)}.`), 'a'.repeat(253))
})

t.test('no name: addresses in every form, empty labels, other characters, what is too long', async (t) => {
  const numbers = [
    '10.0.0.1',
    '10.0.0.1.',
    '0xa9fea9fe',
    '0XA9FEA9FE',
    '2852039166',
    '0251.0376.0251.0376',
    '169.254.43518',
  ]
  const odd = [
    '',
    '.',
    'a..b',
    'a..',
    '.a',
    'a b',
    'a/b',
    'a%41',
    '*',
    '*.a',
    'a@b',
    '[::1]',
    '::1',
    'fe80::1%eth0',
    'ä.example',
  ]
  for (const text of [...numbers, ...odd, 'a.0x7F', '0x', 'a.1', '\u212a.example', 'a'.repeat(254)]) {
    t.equal(canonicalName(text), undefined, text)
  }
})

t.test('patterns', async (t) => {
  t.equal(canonicalPattern('*.Example.com.'), '*.example.com')
  t.equal(canonicalPattern('*'), '*')
  for (const text of ['*.', '**', 'a.*', '*a.com', '*.*.com', '*.1']) t.equal(canonicalPattern(text), undefined, text)
  t.ok(isNamedBy('a.b', 'a.b'))
  t.notOk(isNamedBy('a.b', 'x.a.b'))
  t.ok(isNamedBy('*.b.c', 'a.b.c'))
  t.ok(isNamedBy('*.b.c', 'x.a.b.c'), 'at any depth')
  t.notOk(isNamedBy('*.b.c', 'b.c'), 'not itself')
  t.notOk(isNamedBy('*.b.c', 'ab.c'), 'only at a dot')
  t.ok(isNamedBy('*', 'anything'))
})

t.test('never throws, and what it gives is its own canonical form', async (t) => {
  const { below, pick } = createRandom(11)
  const parts = ['a', 'B', '.', '..', '1', '0x', '-', '_', '*', '%', ':', '\0', '\u212a', 'İ', '\ud800', ' ', '/']
  for (let round = 0; round < 5_000; round++) {
    const text = Array.from({ length: below(8) }, () => pick(parts)).join('')
    const name = canonicalName(text)
    if (name === undefined) continue
    if (!/^[a-z0-9._~-]+$/.test(name) || canonicalName(name) !== name) t.fail(`${JSON.stringify(text)} gave ${name}`)
  }
})
