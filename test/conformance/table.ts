/** What was seen as the table of docs/compatibility.md. Pure. */
import { DIFFERENCES, explain } from './differences.ts'
import type { Row } from './matrix.ts'
import { nameOfWay } from './pairing.ts'
import { CASES, type Seen } from './play.ts'

export type Result = { readonly row: Row; readonly seen: Seen }

const START = '<!-- matrix: written by `node test/conformance/matrix.test.ts --write` -->'
const END = '<!-- matrix ends -->'

/** One line for each row, cells under each other, and behind it why a cell differs. */
export function renderMatrix(results: readonly Result[]): string {
  const header = ['server', 'agent', 'client', ...CASES]
  const lines = results.map(({ row: { pairing }, seen }) => [
    pairing.server,
    pairing.agent,
    nameOfWay(pairing.way),
    ...CASES.map((name) => {
      const why = explain(pairing, name, seen[name])
      return typeof why === 'number' ? `${seen[name]} [${why + 1}]` : seen[name]
    }),
  ])
  const widths = header.map((_, column) => Math.max(...[header, ...lines].map((line) => line[column]!.length)))
  const render = (line: readonly string[]): string =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  const notes = DIFFERENCES.map(({ why }, index) => `- [${index + 1}] ${why}`)
  return [render(header), rule, ...lines.map(render), '', ...notes].join('\n')
}

/** The document with the block replaced. @throws Error when it has none */
export function withMatrix(document: string, matrix: string): string {
  const { before, after } = split(document)
  return `${before}${START}\n${matrix}\n${END}${after}`
}

/** What is in the block, without what may be otherwise in the next run: the numbers in cells that differ. */
export function comparable(matrix: string): string[] {
  return matrix
    .split('\n')
    .map((line) => (line.startsWith('|') ? line.split('|').map(cellOf).join('|') : line))
    .filter((line) => line !== '')
}

export function matrixIn(document: string): string {
  const { before, after } = split(document)
  return document.slice(before.length + START.length, document.length - after.length - END.length).trim()
}

function cellOf(cell: string): string {
  const note = /\[\d+\]/.exec(cell)
  return note ? note[0] : cell.trim().replace(/^-+$/, '-')
}

function split(document: string): { readonly before: string; readonly after: string } {
  const [start, end] = [document.indexOf(START), document.indexOf(END)]
  if (start < 0 || end < start) throw new Error(`the document has no lines ${START} and ${END}`)
  return { before: document.slice(0, start), after: document.slice(end + END.length) }
}
