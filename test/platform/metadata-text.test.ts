import t from 'tap'
import { isMetadataText } from '../../src/platform/metadata-text.ts'

t.test('takes printable ASCII, spaces inside, and nothing at all', async (t) => {
  for (const text of ['', 'a', 'node-1', 'two words', '!~', 'host=a&ipv4=10.0.0.1']) t.ok(isMetadataText(text), text)
})

t.test('refuses what HTTP/2 would drop or change', async (t) => {
  for (const text of [' ', ' a', 'a ', 'a\nb', 'a\tb', 'a\0', 'a\x7f', 'é', '☃', 'a\n']) {
    t.notOk(isMetadataText(text), JSON.stringify(text))
  }
})

t.test('says so at once of a long text that is nearly one', async (t) => {
  t.notOk(isMetadataText(`${'a '.repeat(100_000)}\n`))
})
