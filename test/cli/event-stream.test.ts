import t from 'tap'
import { eventReader } from '../../src/cli/event-stream.ts'

const stream = ': alive\n\nretry: 2000\n\nid: a-1\nevent: lost\ndata: {"x":1}\n\ndata: one\ndata: two\n\n'
const events = [
  { id: 'a-1', type: 'lost', data: '{"x":1}' },
  { id: undefined, type: 'message', data: 'one\ntwo' },
]

t.test('gives the same events wherever the network splits them', async (t) => {
  for (let cut = 0; cut <= stream.length; cut++) {
    const read = eventReader()
    t.strictSame([...read(stream.slice(0, cut)), ...read(stream.slice(cut))], events, `cut at ${cut}`)
  }
})

t.test('holds no event that never ends', async (t) => {
  const read = eventReader()
  const piece = 'x'.repeat(1024 * 1024)
  t.throws(
    () => {
      for (let count = 0; count < 17; count++) read(piece)
    },
    { message: /too long/ },
  )
})
