import t from 'tap'
import { createEarlyFrames, type EarlyFrame, earlyUses, keepEarly, takeEarly } from '../../src/tunnel/early-frames.ts'

type Way = 'stream' | 'lane' | 'other lane'
const data = (from: Way, byte: number): EarlyFrame<Way> => ({ from, kind: 'data', bytes: new Uint8Array([byte]) })

t.test('gives the frames of each way in the order in which they came', async (t) => {
  const frames = createEarlyFrames<Way>()
  const sent = [
    data('lane', 1),
    data('other lane', 2),
    data('lane', 3),
    { from: 'lane', kind: 'end', close: false, reason: '' } as const,
  ]
  for (const frame of sent) t.ok(keepEarly(frames, frame))
  t.equal(takeEarly(frames, 'lane'), sent[0])
  t.equal(takeEarly(frames, 'lane'), sent[2])
  t.equal(takeEarly(frames, 'other lane'), sent[1])
  t.equal(takeEarly(frames, 'lane'), sent[3])
  t.equal(takeEarly(frames, 'lane'), undefined)
  t.strictSame(frames, createEarlyFrames(), 'and keeps none that it has given')
})

t.test('gives nothing for a way on which nothing came', async (t) => {
  const frames = createEarlyFrames<Way>()
  keepEarly(frames, data('lane', 1))
  t.equal(takeEarly(frames, 'stream'), undefined)
  t.equal(frames.count, 1)
})

t.test('knows the ways that its frames came and those that they announce', async (t) => {
  const frames = createEarlyFrames<Way>()
  keepEarly(frames, { from: 'lane', kind: 'move', to: 'other lane' })
  t.ok(earlyUses(frames, 'lane'))
  t.ok(earlyUses(frames, 'other lane'))
  t.notOk(earlyUses(frames, 'stream'))
  t.notOk(earlyUses(createEarlyFrames<Way>(), 'lane'))
})

t.test('keeps 65,536 frames and says when there is one more', async (t) => {
  const frames = createEarlyFrames<Way>()
  for (let count = 1; count <= 65_536; count++)
    if (!keepEarly(frames, data('lane', 0))) t.fail(`refused frame ${count}`)
  t.notOk(keepEarly(frames, data('lane', 0)))
})

t.test('takes frames behind thousands of another way without a look at those', async (t) => {
  const frames = createEarlyFrames<Way>()
  let looks = 0
  const watched: EarlyFrame<Way> = {
    get from() {
      looks++
      return 'lane' as const
    },
    kind: 'data',
    bytes: new Uint8Array(1),
  }
  for (let count = 0; count < 1_000; count++) keepEarly(frames, watched)
  for (let count = 0; count < 1_000; count++) keepEarly(frames, data('other lane', 0))
  looks = 0
  let taken = 0
  while (takeEarly(frames, 'other lane')) taken++
  t.strictSame({ taken, looks }, { taken: 1_000, looks: 0 })
})
