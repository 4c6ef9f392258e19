import t from 'tap'
import { createFleet, MAX_KEPT_REFUSALS } from '../../src/proxy-server/fleet-events.ts'
import { asked } from '../platform/asked.ts'
import { manualClock } from '../platform/manual-clock.ts'

const stream = { server: 's', number: 1 }

t.test('strangers who are refused do not push changes of clusters out of what is kept', async (t) => {
  using fleet = createFleet(manualClock(), 'epoch')
  const refuse = (source: string): void =>
    fleet.take({ is: 'refused', source, agent: undefined, why: 'unauthenticated', reason: 'none was sent' })
  refuse('first')
  fleet.take({ is: 'joined', stream, cluster: 'eu-1', agent: 'a' })
  for (let count = 0; count < 2_000; count++) refuse(`2001:db8::${count.toString(16)}`)
  fleet.take({ is: 'left', stream, reason: 'lost' })
  const { body } = await fleet.route(asked({ lastEventId: 'another-0' }))
  const types = [...String(body).matchAll(/^event: (.*)$/gm)].map(([, type]) => type)
  t.strictSame(
    types.filter((type) => type !== 'refused'),
    ['established', 'lost', 'snapshot'],
  )
  t.equal(types.filter((type) => type === 'refused').length, MAX_KEPT_REFUSALS)
  t.strictSame([types[0], ...types.slice(-3)], ['established', 'refused', 'lost', 'snapshot'], 'in their order')
})
