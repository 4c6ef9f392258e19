import t from 'tap'
import { splitAddress } from '../../src/platform/split-address.ts'

t.test('takes host and port apart, whatever they are', async (t) => {
  const parts = (address: string): unknown => {
    const split = splitAddress(address)
    return split.kind === 'none' ? split.why : [split.host, split.port, split.isBracketed]
  }
  t.strictSame(parts('web:80'), ['web', '80', false])
  t.strictSame(parts('[::1%lo]:http'), ['::1%lo', 'http', true])
  t.strictSame(parts(':'), ['', '', false])
  t.strictSame(parts('[]:'), ['', '', true])
})

t.test('says in Go’s words why an address is none', async (t) => {
  const none = {
    'missing port in address': ['', 'web', ']', '[::1]', '[', '[::1]80', '[::1]x:80', '[a]b]:80'],
    'too many colons in address': ['::', '::1:80', '[::1]::80', 'a:b:c'],
    "missing ']' in address": ['[:', '[::1', '[::1:80'],
    "unexpected '[' in address": ['a[b]:80', '[a[b]:80', '[::1]:[8', 'a:[8]'],
    "unexpected ']' in address": ['a]b:80', '127.0.0.1:8]', '[::1]:8]'],
  }
  for (const [why, addresses] of Object.entries(none)) {
    for (const address of addresses) t.strictSame(splitAddress(address), { kind: 'none', why }, address)
  }
})
