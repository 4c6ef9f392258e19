import t from 'tap'
import { nearNames } from '../../src/clusters/near-names.ts'

t.test('names what was probably meant, the likeliest first', async (t) => {
  const names = ['eu-1', 'eu-2', 'us-east-1', 'staging']
  t.equal(nearNames('eu1', names), 'did you mean eu-1?')
  t.equal(nearNames('eu-3', names), 'did you mean eu-1 or eu-2?')
  t.equal(nearNames('stagign', names), 'did you mean staging?')
  t.equal(nearNames('east', names), 'did you mean us-east-1?', 'a part of it')
  t.equal(nearNames('us-east-11', names), 'did you mean us-east-1?', 'a letter too many')
  t.equal(nearNames('eu-wst', ['eu-east', 'eu-west']), 'did you mean eu-west or eu-east?')
})

t.test('names some of what there is when nothing is like it', async (t) => {
  t.equal(nearNames('production', ['a', 'b']), 'there are a, b')
  t.equal(nearNames('x', ['aa', 'bb', 'cc', 'dd', 'ee', 'ff', 'gg']), 'there are aa, bb, cc, dd, ee and 2 more')
  t.equal(nearNames('x', ['aa', 'bb', 'cc', 'dd', 'ee']), 'there are aa, bb, cc, dd, ee')
  t.equal(nearNames('x', []), 'there is none yet')
})

t.test('shows five at most', async (t) => {
  const names = Array.from({ length: 9 }, (_, number) => `eu-${number}`)
  t.equal(nearNames('eu-x', names), 'did you mean eu-0 or eu-1 or eu-2 or eu-3 or eu-4?')
})
