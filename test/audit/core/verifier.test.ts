import t from 'tap'
import { BEGINNING, seal } from '../../../src/audit/core/chain.ts'
import { sha256 } from '../../../src/audit/sha256.ts'
import { createRandom } from '../../platform/random.ts'
import { chainOf, headOf, problemsOf, verdictOn } from '../chains.ts'

t.test('finds nothing in a chain that nobody touched', async (t) => {
  const lines = chainOf(5)
  t.strictSame(verdictOn([Buffer.concat(lines)]), {
    problems: [],
    notes: [],
    more: 0,
    lines: 5,
    first: headOf(lines[0]!),
    last: headOf(lines[4]!),
  })
})

t.test('takes a log without a line for one that was emptied', async (t) => {
  const problem = { file: 'file 0', what: 'there is no line: every log has one, as soon as the program has started' }
  t.match(verdictOn([Buffer.alloc(0)]).problems, [problem])
  t.strictSame(verdictOn([Buffer.alloc(0)], { partial: true }).problems, [], 'its lines are in the files that are gone')
  t.strictSame(verdictOn([Buffer.concat(chainOf(2)), Buffer.alloc(0)]).problems, [], 'the newest may have none yet')
})

t.test('notes where a program started that had not stopped', async (t) => {
  let head = BEGINNING
  const lines = ['started', 'dial', 'stopped', 'started', 'dial', 'started'].map((event) => {
    const sealed = seal(head, { event }, sha256)
    head = sealed.head
    return Buffer.from(sealed.line)
  })
  t.match(verdictOn([Buffer.concat(lines)]), {
    problems: [],
    notes: [{ line: 6, what: /it was killed, or lines were taken off/ }],
  })
  t.strictSame(verdictOn([Buffer.concat(lines.slice(0, 5))]).notes, [])
  t.strictSame(verdictOn([lines[5]!], { partial: true }).notes, [], 'nobody knows what was before')
})

t.test('follows a chain over several files, in their order only', async (t) => {
  const lines = chainOf(6)
  const [old, young] = [Buffer.concat(lines.slice(0, 4)), Buffer.concat(lines.slice(4))]
  t.strictSame(verdictOn([old, young]).problems, [])
  t.strictSame(verdictOn([young, old]).problems, [
    { file: 'file 0', line: 1, what: '4 lines are missing between line 0 and line 5 of the chain' },
    { file: 'file 1', line: 1, what: 'it is line 1 of the chain where line 7 should be' },
  ])
  t.match(verdictOn([young]).problems, [{ what: '4 lines are missing between line 0 and line 5 of the chain' }])
  t.strictSame(verdictOn([young], { partial: true }).problems, [], 'the file before is known to be gone')
})

t.test('sees every bit that is flipped', async (t) => {
  const bytes = Buffer.concat(chainOf(3))
  for (let at = 0; at < bytes.length; at++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[at]! ^= 1 << bit
      if (verdictOn([changed]).problems.length === 0) t.fail(`byte ${at}, bit ${bit}`)
    }
  }
})

t.test('sees a byte more or less anywhere', async (t) => {
  const bytes = Buffer.concat(chainOf(3))
  for (let at = 0; at < bytes.length; at++) {
    const less = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
    const more = Buffer.concat([bytes.subarray(0, at), Buffer.from(' '), bytes.subarray(at)])
    if (verdictOn([less]).problems.length === 0) t.fail(`without byte ${at}`)
    if (verdictOn([more]).problems.length === 0) t.fail(`with one before byte ${at}`)
  }
})

t.test('sees every cut that is not between two lines', async (t) => {
  const lines = chainOf(3)
  const bytes = Buffer.concat(lines)
  const ends = [1, 2, 3].map((count) => Buffer.concat(lines.slice(0, count)).length)
  for (let at = 0; at <= bytes.length; at++) {
    const isSeen = verdictOn([bytes.subarray(0, at)]).problems.length > 0
    if (isSeen === ends.includes(at)) t.fail(`cut at ${at}`)
  }
})

t.test('sees lines that were taken off the end when one of them is asked for', async (t) => {
  const lines = chainOf(3)
  const { hash } = headOf(lines[2]!)
  t.strictSame(problemsOf(lines, { contains: hash }), [])
  t.strictSame(problemsOf(lines.slice(0, 2), { contains: hash }), [
    `2: the line with the hash ${hash} is not in the chain`,
  ])
})

t.test('says where a line is missing, twice there, swapped, changed or put in', async (t) => {
  const [a, b, c, d] = chainOf(4) as [Buffer, Buffer, Buffer, Buffer]
  t.strictSame(problemsOf([a, c, d]), ['2: a line is missing between line 1 and line 3 of the chain'])
  t.strictSame(problemsOf([b, c]), ['1: a line is missing between line 0 and line 2 of the chain'])
  t.strictSame(problemsOf([a, b, b, c]), ['3: it is line 2 of the chain where line 3 should be'])
  t.strictSame(problemsOf([a, c, b, d]), [
    '2: a line is missing between line 1 and line 3 of the chain',
    '3: it is line 2 of the chain where line 4 should be',
    '4: a line is missing between line 2 and line 4 of the chain',
  ])
  const changed = Buffer.from(b.toString().replace('10.0.0.1', '10.0.0.9'))
  t.strictSame(problemsOf([a, changed, c]), ['2: it was changed: its hash is another one'])
  t.strictSame(problemsOf([a, Buffer.from('{"event":"dial"}\n'), b]), ['2: it is no line of an audit log'])
})

t.test('sees a line that was changed and sealed anew', async (t) => {
  const [a, , c] = chainOf(3) as [Buffer, Buffer, Buffer]
  const forged = Buffer.from(seal(headOf(a), { event: 'dial', destination: '10.0.0.9:443' }, sha256).line)
  t.strictSame(problemsOf([a, forged, c]), ['3: the line before it, 2 of the chain, is not the one that it names'])
  const beginning = seal({ ...BEGINNING, hash: 'f'.repeat(64) }, { event: 'dial' }, sha256).line
  t.strictSame(problemsOf([Buffer.from(beginning)]), ['1: it is the first line of the chain, and names one before it'])
})

t.test('sees whatever is done to a chain, at random', async (t) => {
  for (let seed = 1; seed <= 2_000; seed++) {
    const { below } = createRandom(seed)
    const lines = chainOf(2 + below(8))
    const { hash } = headOf(lines.at(-1)!)
    const before = Buffer.concat(lines)
    for (let times = 1 + below(3); times > 0; times--) tamper(lines, below)
    const after = Buffer.concat(lines)
    if (after.equals(before)) continue
    if (verdictOn([after], { contains: hash }).problems.length === 0) t.fail(`seed ${seed}`)
  }
})

function tamper(lines: Buffer[], below: (limit: number) => number): void {
  const at = below(lines.length)
  switch (below(5)) {
    case 0:
      lines.splice(at, 1)
      break
    case 1:
      lines.splice(below(lines.length), 0, lines[at] ?? Buffer.from('{}\n'))
      break
    case 2: {
      const [line] = lines.splice(at, 1)
      if (line) lines.splice(below(lines.length + 1), 0, line)
      break
    }
    case 3:
      lines[at] = lines[at]?.subarray(0, below(lines[at].length)) ?? Buffer.alloc(0)
      break
    default: {
      const line = Buffer.from(lines[at] ?? 'x')
      line[below(line.length)] = below(256)
      lines[at] = line
    }
  }
}

t.test('notes what the chain itself says that it lacks', async (t) => {
  const lost = seal(BEGINNING, { event: 'gap', lost: 7, reason: 'full' }, sha256)
  const torn = seal(lost.head, { event: 'started', tornBytes: 12 }, sha256)
  const { problems, notes } = verdictOn([Buffer.from(lost.line + torn.line)])
  t.strictSame(problems, [])
  t.strictSame(notes, [
    { file: 'file 0', line: 1, what: '7 lines before it were lost: full' },
    { file: 'file 0', line: 2, what: 'the program had ended in the middle of a line: 12 bytes of it were removed' },
  ])
})

t.test('keeps the first hundred problems, and counts the others', async (t) => {
  const foreign = Buffer.from('x\n'.repeat(150))
  const { problems, more } = verdictOn([foreign])
  t.equal(problems.length, 100)
  t.equal(more, 50)
})
