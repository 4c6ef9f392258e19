/** Each promise of docs/threat-model.md names tests that exist. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'

const root = join(import.meta.dirname, '../..')
const rows = readFileSync(join(root, 'docs/threat-model.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\| (?!---|.*\| shown by \|)/.test(line))

/** `a/b.test.ts` "title", "title"; `c.test.ts` … */
function* named(cell: string): Generator<{ file: string; titles: string[] }> {
  for (const [, file = '', rest = ''] of cell.matchAll(/`(test\/[^`]+\.ts)`([^`]*)/g)) {
    yield { file, titles: [...rest.matchAll(/"([^"]+)"/g)].map(([, title]) => title!) }
  }
}

/** In code, and not in a test that is left out. */
const isTested = (source: string, title: string): boolean =>
  source.split('\n').some((line) => line.includes(title) && !/^\s*(\/[/*]|\*)|\.(skip|todo)\(/.test(line))

t.test('every row names a file, and each file has the tests that are named', async (t) => {
  t.ok(rows.length > 25, `${rows.length} rows`)
  for (const row of rows) {
    const tests = [...named(row.split('|')[2] ?? '')]
    t.not(tests.length, 0, row.slice(0, 60))
    for (const { file, titles } of tests) {
      const source = readFileSync(join(root, file), 'utf8')
      for (const title of titles) t.ok(isTested(source, title), `${file}: ${title}`)
    }
  }
})
