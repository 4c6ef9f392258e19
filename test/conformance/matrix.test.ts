/**
 * The interop matrix: every pairing of our ends and konnectivity's, over every way to the server, in every case. Printed as a
 * table and compared with docs/compatibility.md.
 *
 *   node test/conformance/matrix.test.ts [--write] [--only=<part of a row's name>]    writes the table into the document
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { explain } from './differences.ts'
import { ROWS } from './matrix.ts'
import { nameOf } from './pairing.ts'
import { CASES, play } from './play.ts'
import { comparable, matrixIn, type Result, renderMatrix, withMatrix } from './table.ts'

const DOCUMENT = join(import.meta.dirname, '../../docs/compatibility.md')
const MATRIX_DEADLINE_MS = 570_000
const ROW_DEADLINE_MS = 120_000
const ROWS_AT_ONCE = 2 // most of a row is waiting: for what is silent, and for agents that come back

const { values } = parseArgs({ options: { write: { type: 'boolean' }, only: { type: 'string', default: '' } } })
const rows = ROWS.filter(({ pairing }) => nameOf(pairing).includes(values.only))
const results = new Map<string, Result>()
const pki = await makePki(t)

t.jobs = ROWS_AT_ONCE
t.setTimeout(MATRIX_DEADLINE_MS)
const played = rows.map((row) => {
  const { pairing, repeats } = row
  return t.test(nameOf(pairing), { buffered: true, timeout: ROW_DEADLINE_MS }, async (t) => {
    const seen = await play(t, pki, pairing, repeats)
    results.set(nameOf(pairing), { row, seen })
    for (const name of CASES) t.not(explain(pairing, name, seen[name]), 'unexplained', `${name}: ${seen[name]}`)
  })
})

void t.test('the table in docs/compatibility.md is what was seen', async (t) => {
  await Promise.allSettled(played)
  const matrix = renderMatrix(rows.flatMap(({ pairing }) => results.get(nameOf(pairing)) ?? []))
  for (const line of matrix.split('\n')) t.comment(line)
  const document = readFileSync(DOCUMENT, 'utf8')
  if (values.write) writeFileSync(DOCUMENT, withMatrix(document, matrix))
  else if (values.only === '') t.strictSame(comparable(matrixIn(document)), comparable(matrix))
})
