import t from 'tap'
import { stockClose } from '../../src/proxy-server/stock-close.ts'
import { manualClock } from '../platform/manual-clock.ts'

function setup() {
  const clock = manualClock()
  const answers: (() => void)[] = []
  const http = { destroyed: false, ping: (answered: unknown) => answers.push(answered as () => void) > 0 }
  const mayClose = stockClose(http as never, clock)
  const closed: string[] = []
  return { clock, answers, http, close: (name: string) => mayClose(() => void closed.push(name)), closed }
}

t.test('lets a close go a while after the agent has answered a ping', async (t) => {
  const { clock, answers, close, closed } = setup()
  close('a')
  clock.advance(60_000)
  t.strictSame(closed, [], 'it may not even have read the data')
  answers[0]!()
  clock.advance(49)
  t.strictSame(closed, [])
  clock.advance(1)
  t.strictSame(closed, ['a'])
})

t.test('has one ping under way at a time, which answers for those who asked before it was sent', async (t) => {
  const { clock, answers, close, closed } = setup()
  for (const name of ['a', 'b', 'c']) close(name)
  t.equal(answers.length, 1)
  answers[0]!()
  clock.advance(50)
  t.strictSame(closed, ['a'])
  t.equal(answers.length, 2)
  answers[1]!()
  clock.advance(50)
  t.strictSame(closed, ['a', 'b', 'c'])
  t.equal(answers.length, 2)
  close('d')
  t.equal(answers.length, 3, 'one who asks after a while waits for nobody')
})

t.test('gathers those who ask for 20 ms after an answer, so that a ping is for many of them', async (t) => {
  const { clock, answers, close, closed } = setup()
  close('first')
  answers[0]!()
  for (let ms = 0; ms < 20; ms++) {
    t.equal(answers.length, 1)
    close(`${ms}`)
    clock.advance(1)
  }
  t.equal(answers.length, 2)
  answers[1]!()
  clock.advance(50)
  t.equal(closed.length, 21)
  t.equal(answers.length, 2, 'and nobody is asked for who is not there')
})

t.test('asks nothing of an agent that is gone', async (t) => {
  const { answers, close, http } = setup()
  http.destroyed = true
  close('a')
  t.strictSame(answers, [])
})
