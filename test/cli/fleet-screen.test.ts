import t from 'tap'
import { screenOf } from '../../src/cli/fleet-screen.ts'

const lines = (text: string): string[] => {
  t.ok(text.startsWith('\x1b[H'), 'from the top')
  t.ok(text.endsWith('\x1b[J'), 'nothing of before stays below')
  return text.slice(3, -3).split('\x1b[K\n').slice(0, -1)
}
const table = (count: number): string[] => [
  'HEAD',
  ...Array.from({ length: count }, (_, number) => `cluster ${number}`),
]
const size = { columns: 80, rows: 11 }
const quiet = { changes: [], notice: undefined }

t.test('shows the table, the last changes, and why it is old', async (t) => {
  t.strictSame(lines(screenOf({ table: table(2), ...quiet }, size)), ['HEAD', 'cluster 0', 'cluster 1'])
  const changes = ['first', 'second']
  t.strictSame(lines(screenOf({ table: table(1), changes, notice: 'away' }, size)), [
    ...['HEAD', 'cluster 0', '', 'first', 'second', '', 'away'],
  ])
})

t.test('never fills more than the screen, and says what it leaves out', async (t) => {
  const changes = Array.from({ length: 20 }, (_, number) => `change ${number}`)
  for (let clusters = 0; clusters < 20; clusters++) {
    for (const notice of [undefined, 'away']) {
      const shown = lines(screenOf({ table: table(clusters), changes, notice }, size))
      t.ok(shown.length <= 10, `${clusters} clusters: ${shown.length} lines`)
      t.equal(shown.includes('away'), notice !== undefined)
    }
  }
  t.strictSame(lines(screenOf({ table: table(12), ...quiet }, size)), [...table(8), '… and 4 more'])
  t.strictSame(lines(screenOf({ table: table(9), ...quiet }, size)), table(9), 'all of them, when they fit')
  t.strictSame(lines(screenOf({ table: table(6), changes, notice: undefined }, size)).slice(-3), [
    ...['', 'change 18', 'change 19'],
  ])
  t.strictSame(lines(screenOf({ table: table(1), changes, notice: undefined }, { ...size, rows: 40 })).length, 11)
  t.strictSame(lines(screenOf({ table: ['x'.repeat(100)], ...quiet }, size)), ['x'.repeat(80)], 'no line wraps')
  t.ok(lines(screenOf({ table: table(9), changes, notice: 'away' }, { columns: 1, rows: 1 })).length <= 2)
})
