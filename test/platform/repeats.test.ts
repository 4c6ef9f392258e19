import t from 'tap'
import { createRepeats, createWarnings } from '../../src/platform/repeats.ts'
import { manualClock } from './manual-clock.ts'
import { recordedLog } from './recorded-log.ts'

t.test('tells the first, and then once in a while how many came meanwhile', async (t) => {
  const { tell } = createRepeats(60_000, 10)
  t.equal(tell('hub', 'refused', 0), 0)
  t.equal(tell('hub', 'refused', 1), undefined)
  t.equal(tell('hub', 'refused', 59_999), undefined)
  t.equal(tell('hub', 'refused', 60_000), 2)
  t.equal(tell('hub', 'refused', 119_999), undefined)
  t.equal(tell('hub', 'refused', 120_000), 1)
})

t.test('tells a change at once, and how many came before it', async (t) => {
  const { tell } = createRepeats(60_000, 10)
  t.equal(tell('hub', 'refused', 0), 0)
  t.equal(tell('hub', 'refused', 1), undefined)
  t.equal(tell('hub', 'silent', 2), 1)
  t.equal(tell('hub', 'refused', 3), 0)
})

t.test('keeps apart what happens to different ones', async (t) => {
  const { tell } = createRepeats(60_000, 10)
  t.equal(tell('one', 'refused', 0), 0)
  t.equal(tell('other', 'refused', 0), 0)
  t.equal(tell('one', 'refused', 1), undefined)
})

t.test('what is over is a first again', async (t) => {
  const { tell, forget } = createRepeats(60_000, 10)
  tell('hub', 'refused', 0)
  forget('hub')
  t.equal(tell('hub', 'refused', 1), 0)
})

t.test('what was not told after all may be told the next time, and is counted', async (t) => {
  const { tell, withheld } = createRepeats(60_000, 10)
  t.equal(tell('hub', 'refused', 0), 0)
  withheld('hub', 0)
  t.equal(tell('hub', 'refused', 1), 1)
  withheld('hub', 1)
  t.equal(tell('hub', 'refused', 2), 2)
  t.equal(tell('hub', 'refused', 3), undefined)
  t.equal(tell('hub', 'refused', 60_002), 1)
  withheld('nobody', 0)
  t.equal(tell('nobody', 'refused', 1), 0)
})

t.test('remembers a bounded number, those told last', async (t) => {
  const { tell } = createRepeats(60_000, 2)
  tell('one', 'refused', 0)
  tell('two', 'refused', 0)
  tell('one', 'silent', 1)
  tell('three', 'refused', 2)
  t.equal(tell('one', 'silent', 3), undefined)
  t.equal(tell('two', 'refused', 3), 0, 'forgotten')
})

t.test('warns once a minute of the same, and has all of them in the log at its finest', async (t) => {
  const [log, clock] = [recordedLog(), manualClock()]
  const { warn, forget } = createWarnings(log, clock, 10)
  for (const what of ['refused', 'refused', 'refused', 'silent']) warn('hub', { why: what }, 'no server', what)
  clock.advance(60_000)
  warn('hub', { why: 'silent' }, 'no server', 'silent')
  forget('hub')
  warn('hub', { why: 'silent' }, 'no server', 'silent')
  t.strictSame(
    log.lines.map(({ level, message, fields }) => [level, message, fields]),
    [
      ['warn', 'no server', { why: 'refused' }],
      ['debug', 'no server', { why: 'refused' }],
      ['debug', 'no server', { why: 'refused' }],
      ['warn', 'no server', { why: 'silent', repeated: 2 }],
      ['warn', 'no server', { why: 'silent' }],
      ['warn', 'no server', { why: 'silent' }],
    ],
  )
})
