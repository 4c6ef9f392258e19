import t from 'tap'
import { type BenchOptions, readOptions } from '../../bench/options.ts'
import { fullEffort, type Lineup } from '../../bench/scenarios/scenario.ts'

const anyScenario = { name: 'any', question: 'any', cases: () => [] }
const names = ({ teamOf }: BenchOptions, lineup: Lineup = 'pair'): string[] =>
  teamOf({ ...anyScenario, lineup }).peers.map(({ name }) => name)

t.test('sets ours beside stock konnectivity and asks everything unless told otherwise', async (t) => {
  const read = readOptions(['--quick'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.strictSame(names(read.options), ['ours', 'stock'])
  t.equal(read.options.teamOf(anyScenario).reference, 1)
  t.match(read.options, { isSaved: false, out: undefined })
  t.ok(read.options.scenarios.length >= 9)
})

t.test('takes the number of rounds for every question', async (t) => {
  const read = readOptions(['--quick', '--rounds', '9', '--only', 'idle-memory,connect-rate', '--save'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.match(read.options.effort, { rounds: 9, stalledRounds: 9, memoryRounds: 9 })
  t.equal(read.options.question, 'idle-memory+connect-rate')
})

t.test('saves a report and writes the JSON elsewhere, both if both are asked for', async (t) => {
  for (const [flags, expected] of [
    [['--save'], { isSaved: true, out: undefined }],
    [['--out', 'here.json'], { isSaved: false, out: 'here.json' }],
    [['--save', '--out', 'here.json'], { isSaved: true, out: 'here.json' }],
  ] as const) {
    const read = readOptions(flags)
    if (read.kind !== 'run') throw new Error('expected to run')
    t.match(read.options, expected)
  }
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
  t.equal(names(read.options).length, 4)
  t.equal(read.options.teamOf(anyScenario).reference, 3)
})

t.test('compares two commits, the second with the first', async (t) => {
  const read = readOptions(['compare', 'main~1', '.', '--quick', '--only', 'connect-rate'])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.strictSame(names(read.options), ['main~1', '.'])
  t.equal(read.options.teamOf(anyScenario).reference, 0)
  t.equal(read.options.question, 'compare-connect-rate')
})

t.test('compares two commits and nothing else', async (t) => {
  t.match(readOptions(['compare', 'main', '--peers=stock']), {
    kind: 'wrong',
    problems: ['compare: expected two commits, got 1', '--peers: compare has its own, two commits'],
  })
})

t.test('asks in a full run who else tells something, question by question', async (t) => {
  const read = readOptions([])
  if (read.kind !== 'run') throw new Error('expected to run')
  t.strictSame(names(read.options), ['ours', 'stock'])
  t.strictSame(names(read.options, 'mixed'), ['ours', 'stock', 'ours+stock', 'stock+ours'])
  t.strictSame(names(read.options, 'bulk'), ['ours', 'stock', 'ours+stock', 'stock+ours', 'floor'])
  t.strictSame(names(read.options, 'workers'), ['1 worker', '2 workers'])
  t.strictSame(names(read.options, 'tenants'), ['many clusters'])
  t.strictSame(names(read.options, 'front-door'), ['ours', 'ours+router', 'ours+haproxy'])
  t.ok(read.options.scenarios.some(({ name }) => name === 'wan'))
})

t.test('leaves what takes long out of a quick run, unless it is named', async (t) => {
  const asked = (...args: string[]): string[] => {
    const read = readOptions(args)
    return read.kind === 'run' ? read.options.scenarios.map(({ name }) => name) : []
  }
  t.notOk(asked('--quick').includes('wan'))
  t.strictSame(asked('--quick', '--only', 'wan,clusters'), ['wan', 'clusters'])
  for (const own of ['workers', 'flooding-cluster', 'front-door']) {
    t.notOk(asked('compare', 'main', '.').includes(own), 'which has peers of its own')
  }
})

t.test('asks about three sizes at least in a full run', async (t) => {
  for (const sizes of [
    'bulkConnections',
    'exchangesAtOnce',
    'messageBytes',
    'dialsAtOnce',
    'grpcConnections',
    'idleTunnels',
    'clusters',
  ] as const)
    t.ok(fullEffort[sizes].length >= 3, sizes)
})

t.test('soaks for as long as it is told, and takes no flag that means nothing then', async (t) => {
  t.strictSame(readOptions(['soak']), { kind: 'soak', minutes: 30, isSaved: false })
  t.strictSame(readOptions(['soak', '--minutes', '0.5', '--save']), { kind: 'soak', minutes: 0.5, isSaved: true })
  t.match(readOptions(['soak', '--minutes=no', '--quick', '--only=wan']), {
    kind: 'wrong',
    problems: [/--minutes: .*"no"/, '--quick: not with soak', '--only: not with soak'],
  })
  t.match(readOptions(['--minutes=3']), { kind: 'wrong', problems: ['--minutes: only with soak'] })
})
