/**
 * The floor under the coverage of `npm test`, from tap's own report. It only ever rises: a change that brings code without a
 * test for it, or a test run that silently lost half its files, ends here. The figures are those of the whole of src/.
 */
import { readFileSync } from 'node:fs'

const FLOOR = { lines: 90, branches: 90, functions: 85 } as const
const REPORT = '.tap/report/coverage-summary.json'

type Kind = keyof typeof FLOOR
type Summary = { readonly total: Readonly<Record<Kind, { readonly pct: number }>> }

const { total } = JSON.parse(readFileSync(REPORT, 'utf8')) as Summary
const kinds = Object.keys(FLOOR) as Kind[]
const problems = kinds.filter((kind) => !(total[kind].pct >= FLOOR[kind]))
for (const kind of problems) console.error(`coverage: ${kind} at ${total[kind].pct} %, the floor is ${FLOOR[kind]} %`)
if (problems.length > 0) process.exit(1)
console.log(`coverage: ${kinds.map((kind) => `${kind} ${total[kind].pct} %`).join(', ')}`)
