import t from 'tap'
import { createViolations, type Violation } from '../../src/tunnel/violations.ts'
import { oneSession } from './one-session.ts'

t.test('bears frames that mean nothing up to the limit of a minute, and then ends the stream, once', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'server', limits: { unknownFramesPerMinute: 3 } })
  const broken = (): number => told.filter(([name]) => name === 'broken').length
  for (let count = 0; count < 3; count++) session.receive(carrier, { type: 'UNKNOWN', code: 70 })
  t.equal(broken(), 0)
  session.heard(60_000)
  session.tick(60_000, 60_000)
  for (let count = 0; count < 3; count++) session.receive(carrier, { type: 'DRAIN' })
  for (let count = 0; count < 3; count++) session.receive(carrier, { type: 'UNKNOWN', code: 70 })
  t.equal(broken(), 0, 'a new minute')
  session.receive(carrier, { type: 'UNKNOWN', code: 70 })
  session.receive(carrier, { type: 'UNKNOWN', code: 70 })
  t.equal(broken(), 1)
  t.match(
    told.find(([name]) => name === 'broken'),
    ['broken', 'too-many-unknown-frames'],
  )
})

t.test('counts what is excused, but not against the peer', async (t) => {
  const counted: Violation[] = []
  let tooMany = 0
  const { violate } = createViolations({
    perMinute: 1,
    nowMs: 0,
    counted: (violation) => counted.push(violation),
    tooMany: () => tooMany++,
  })
  for (let count = 0; count < 5; count++) violate('unknown-dial', true)
  violate('unexpected')
  t.strictSame([counted.length, tooMany], [6, 0])
  violate('unexpected')
  t.strictSame([counted.length, tooMany], [7, 1])
})
