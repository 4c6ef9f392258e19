import t from 'tap'
import { readOptions } from '../../bench/options.ts'

t.test('sets ours beside stock konnectivity and asks everything unless told otherwise', async (t) => {
  const read = readOptions(['--quick'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.strictSame(
    read.options.peers.map(({ name }) => name),
    ['ours', 'stock'],
  )
  t.equal(read.options.reference, 1)
  t.equal(read.options.saveTo, undefined)
  t.equal(read.options.scenarios.length, 7)
})

t.test('takes the number of rounds for every question', async (t) => {
  const read = readOptions(['--quick', '--rounds', '9', '--only', 'idle-memory,connect-rate', '--save'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.match(read.options.effort, { rounds: 9, stalledRounds: 9, memoryRounds: 9 })
  t.equal(read.options.question, 'idle-memory+connect-rate')
})

t.test('reports every mistake at once', async (t) => {
  const read = readOptions(['--rounds', '0', '--peers', 'ours,theirs', '--only', 'speed', '-o', 'xml'])
  if (read.kind !== 'wrong') throw new Error('expected problems')
  t.equal(read.problems.length, 4)
  t.match(read.problems.join('\n'), /--rounds.*"0".*--output.*"xml".*--peers.*"theirs".*--only.*"speed"/s)
})

t.test('refuses flags that it does not know, values where none belong and flags that lack one', async (t) => {
  t.match(readOptions(['--fast', '--save=yes', 'now', '--out']), {
    kind: 'wrong',
    problems: ['--fast: no such flag', '--save: takes no value', '--out: expected a value', /"now"/],
  })
})

t.test('pairs each end of ours with the other of stock', async (t) => {
  const read = readOptions(['--peers', 'ours,ours+stock,stock+ours,stock'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.equal(read.options.peers.length, 4)
  t.equal(read.options.reference, 3)
})

t.test('compares two commits, the second with the first', async (t) => {
  const read = readOptions(['compare', 'main~1', '.', '--quick', '--only', 'connect-rate'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.strictSame(
    read.options.peers.map(({ name }) => name),
    ['main~1', '.'],
  )
  t.equal(read.options.reference, 0)
  t.equal(read.options.question, 'compare-connect-rate')
})

t.test('compares two commits and nothing else', async (t) => {
  t.match(readOptions(['compare', 'main', '--peers=stock']), {
    kind: 'wrong',
    problems: ['compare: expected two commits, got 1', '--peers: compare has its own, two commits'],
  })
})
