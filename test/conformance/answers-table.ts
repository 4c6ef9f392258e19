/** The tables of docs/compatibility.md that say what each server answers: what is in code marks there is part of the answer. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const DOCUMENT = join(import.meta.dirname, '../../docs/compatibility.md')

/** Known by the first cell, without its code marks. */
export type AnswerRow = { readonly request: string; readonly stock: string; readonly ours: string }

/** The rows of the table in this section. */
export function documentedAnswers(heading: string): readonly AnswerRow[] {
  const page = readFileSync(DOCUMENT, 'utf8')
  const [, section = ''] = page.split(`\n${heading}\n`)
  const [table = ''] = section.split(/^##/m)
  const rows = [...table.matchAll(/^\| (.+?) \| (.+?) \| (.+?) \| .+ \|$/gm)].slice(1)
  return rows.map(([, request = '', stock = '', ours = '']) => ({ request: request.replaceAll('`', ''), stock, ours }))
}

/** What a cell claims, piece by piece, and the answer has not. */
export function unmet(cell: string, answer: string): string[] {
  const claims = [...cell.matchAll(/`(.+?)`/g)].map(([, claim = '']) => claim)
  return claims.filter((claim) => !answer.includes(claim)).map((claim) => `${claim} is not in ${answer.slice(0, 500)}`)
}
