/** The runner itself: what does not hold is found, by its seed, and a round that does not come back is named. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { isClusterId, isIdentityName } from '../../src/pki/identity.ts'
import { createRandom } from '../platform/random.ts'
import { newBlocks } from './blocks.ts'
import { checked, runRounds } from './rounds.ts'
import { readMinute, readRunOptions } from './run-options.ts'
import type { Target } from './target.ts'

const corpus = [Buffer.from('a'), Buffer.from('b')]
const target: Target = {
  name: 'test',
  ending: 'txt',
  covers: [],
  maxMs: 1_000,
  kinds: ['good'],
  make: (random, corpus) => Buffer.concat([random.pick(corpus), Buffer.from(String(random.below(10)))]),
  check: () => 'good',
}
const never = () => false

t.test('plays each seed once, and the same seed the same way', async (t) => {
  const played = async (from: number, rounds: number): Promise<string[]> => {
    const inputs: string[] = []
    const check = (input: Buffer): string => {
      inputs.push(String(input))
      return 'good'
    }
    const outcome = await runRounds({ ...target, check }, { corpus, from, rounds, isOver: never })
    t.match(outcome, { next: from + rounds, rounds, kinds: { good: rounds }, findings: [] })
    return inputs
  }
  const all = await played(1, 600)
  t.equal(all.length, 600)
  t.strictSame(await played(300, 1), [all[299]])
  t.equal((await runRounds(target, { corpus, from: 1, isOver: () => true })).rounds, 0)
})

t.test('what does not hold is a finding, with its seed and its input', async (t) => {
  const check = (input: Buffer): string => {
    if (String(input) === 'b7') throw new Error('planted')
    return 'good'
  }
  const { findings, next } = await runRounds({ ...target, check }, { corpus, from: 1, isOver: never })
  t.equal(findings.length, 10, 'no more than tell something')
  for (const { seed, why, input } of findings) {
    t.match([why, String(input)], [/planted/, 'b7'])
    t.strictSame(target.make(createRandom(seed), corpus), input)
    t.ok(seed < next)
  }
})

t.test('an answer of no kind, and one that takes too long each time, do not hold', async (t) => {
  await t.rejects(checked({ ...target, check: () => 'bad' }, corpus[0]!), /another kind: bad/)
  const busy = (ms: number): void => {
    for (const before = process.threadCpuUsage(); process.threadCpuUsage(before).user < ms * 1_000; );
  }
  let calls = 0
  const slow = (times: number) => () => {
    if (calls++ < times) busy(60)
    return 'good'
  }
  t.equal(await checked({ ...target, maxMs: 20, check: slow(2) }, corpus[0]!), 'good', 'slow by chance')
  calls = 0
  await t.rejects(checked({ ...target, maxMs: 20, check: slow(3) }, corpus[0]!), /more than 20/)
})

t.test('keeps what reaches lines that nothing before it reached', async (t) => {
  using blocks = newBlocks(['src/pki/identity.ts'])
  blocks.areReached()
  isIdentityName('a')
  t.equal(blocks.areReached(), true)
  isIdentityName('b')
  t.equal(blocks.areReached(), false, 'again the same')
  const check = (input: Buffer): string => {
    if (input[1] === 0x37) isClusterId(String(input)) // a7, b7
    return 'good'
  }
  const fresh = { ...target, check }
  const { corpus: grown } = await runRounds(fresh, { corpus, from: 1, rounds: 200, isOver: never, blocks })
  t.strictSame([...new Set(grown.slice(2).map((input) => input[1]))], [0x37])
  t.equal(grown.length, 3, 'once')
})

t.test('a round that does not come back is named', async (t) => {
  const script = `const { watchOver } = await import(${JSON.stringify(join(import.meta.dirname, 'watchdog.ts'))})
    watchOver('policy', 300).begins(4711)
    for (;;);`
  const { stderr, signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: {},
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  t.match(String(stderr), /^fuzz policy: seed 4711 does not come back$/m)
  t.equal(signal, 'SIGKILL')
})

t.test('flags', async (t) => {
  const read = readRunOptions(['policy', 'tokens', '--minutes', '0.5', '--rounds', '3', '--unguided', '--save'])
  t.match(read, { kind: 'run', options: { minutes: 0.5, rounds: 3, isGuided: false, isSaved: true } })
  t.strictSame(read.kind === 'run' && read.options.targets.map(({ name }) => name), ['policy', 'tokens'])
  t.match(readRunOptions([]), { kind: 'run', options: { minutes: 60, targets: { length: 7 }, isGuided: true } })
  t.match(readRunOptions(['--help']), { kind: 'help', text: /--from-seed/ })
  const wrong = readRunOptions(['nothing', '--minutes', '0', '--from-seed', 'x', '--rounds', '1.5'])
  t.match(wrong, { kind: 'wrong', problems: { length: 4 } })
  t.match(readRunOptions(['--what']), { kind: 'wrong', problems: [/--what/] })
})

t.test('what the environment says of the short run, and what it says wrong', async (t) => {
  t.strictSame(readMinute({}), { seconds: 3, from: 1, rounds: undefined, isWhole: false })
  t.strictSame(readMinute({ CI: 'true' }), { seconds: 60, from: 1, rounds: undefined, isWhole: true })
  const again = { CI: 'true', CULVERT_FUZZ_SEED: '4711', CULVERT_FUZZ_ROUNDS: '1' }
  t.strictSame(readMinute(again), { seconds: 60, from: 4_711, rounds: 1, isWhole: false })
  t.match(readMinute({ CI: 'true', CULVERT_FUZZ_SECONDS: '5' }), { seconds: 5, isWhole: false })
  for (const name of ['CULVERT_FUZZ_SECONDS', 'CULVERT_FUZZ_SEED', 'CULVERT_FUZZ_ROUNDS']) {
    for (const text of ['x', '', '0', '-1', '1.5', '1e3']) {
      t.throws(() => readMinute({ [name]: text }), {
        message: `${name}: expected a whole number over 0, got "${text}"`,
      })
    }
  }
})

t.test('the inputs of a batch that are played again have each the time of a round', async (t) => {
  const script = `const { runRounds } = await import(${JSON.stringify(join(import.meta.dirname, 'rounds.ts'))})
    const check = () => {
      for (const until = performance.now() + 40; performance.now() < until; );
      return 'good'
    }
    const target = { name: 'slow', kinds: ['good'], maxMs: 1e6, make: (_, [first]) => first, check }
    const blocks = { areReached: () => true, forget() {} }
    const run = { corpus: [Buffer.from('a')], from: 1, rounds: 40, isOver: () => false, blocks, stuckMs: 600 }
    console.log((await runRounds(target, run)).corpus.length)`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    env: {},
    timeout: 60_000,
  })
  t.equal(String(stdout), '41\n', String(stderr))
})
