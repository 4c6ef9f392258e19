import t from 'tap'
import { type EarlyFrame, earlyUses, keepEarly, takeEarly } from '../../src/tunnel/early-frames.ts'

type Way = 'stream' | 'lane' | 'other lane'
const data = (from: Way, byte: number): EarlyFrame<Way> => ({ from, kind: 'data', bytes: new Uint8Array([byte]) })

t.test('gives the frames of each way in the order in which they came', async (t) => {
  const frames: EarlyFrame<Way>[] = []
  const sent = [
    data('lane', 1),
    data('other lane', 2),
    data('lane', 3),
    { from: 'lane', kind: 'end', close: false } as const,
  ]
  for (const frame of sent) t.ok(keepEarly(frames, frame))
  t.equal(takeEarly(frames, 'lane'), sent[0])
  t.equal(takeEarly(frames, 'lane'), sent[2])
  t.equal(takeEarly(frames, 'other lane'), sent[1])
  t.equal(takeEarly(frames, 'lane'), sent[3])
  t.equal(takeEarly(frames, 'lane'), undefined)
  t.strictSame(frames, [], 'and keeps none that it has given')
})

t.test('gives nothing for a way on which nothing came', async (t) => {
  const frames: EarlyFrame<Way>[] = [data('lane', 1)]
  t.equal(takeEarly(frames, 'stream'), undefined)
  t.equal(frames.length, 1)
})

t.test('knows the ways that its frames came and those that they announce', async (t) => {
  const frames: EarlyFrame<Way>[] = [{ from: 'lane', kind: 'move', to: 'other lane' }]
  t.ok(earlyUses(frames, 'lane'))
  t.ok(earlyUses(frames, 'other lane'))
  t.notOk(earlyUses(frames, 'stream'))
  t.notOk(earlyUses([], 'lane'))
})

t.test('keeps 16,384 frames and says when there is one more', async (t) => {
  const frames: EarlyFrame<Way>[] = []
  for (let count = 1; count <= 16_384; count++)
    if (!keepEarly(frames, data('lane', 0))) t.fail(`refused frame ${count}`)
  t.notOk(keepEarly(frames, data('lane', 0)))
})
