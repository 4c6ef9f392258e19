import t from 'tap'
import { createLiveness, look } from '../../src/tunnel/liveness.ts'

const times = { intervalMs: 5_000, timeoutMs: 12_000 }

t.test('beats at once and then at every interval', async (t) => {
  const liveness = createLiveness(times, 1_000)
  const beats: number[] = []
  for (let nowMs = 1_000; nowMs <= 16_000; nowMs += 500) {
    liveness.heard = true
    if (look(liveness, nowMs) === 'beat') beats.push(nowMs)
  }
  t.strictSame(beats, [1_000, 6_000, 11_000, 16_000])
})

t.test('beats at each of the first looks when it is to be eager, and then at every interval', async (t) => {
  const liveness = createLiveness(times, 0, 3)
  const beats: number[] = []
  for (let nowMs = 0; nowMs <= 11_000; nowMs += 500) {
    liveness.heard = true
    if (look(liveness, nowMs) === 'beat') beats.push(nowMs)
  }
  t.strictSame(beats, [0, 500, 1_000, 6_000, 11_000])
})

t.test('never beats where the peer is the one who does', async (t) => {
  const liveness = createLiveness({ intervalMs: Number.POSITIVE_INFINITY, timeoutMs: 12_000 }, 0)
  t.equal(look(liveness, 0), 'beat', 'but for the first look')
  t.equal(look(liveness, 11_999), 'nothing')
})

t.test('is dead after the whole silence, not a millisecond before', async (t) => {
  const liveness = createLiveness(times, 0)
  look(liveness, 0)
  look(liveness, 6_000)
  t.equal(look(liveness, 11_999), 'beat')
  t.equal(look(liveness, 12_000), 'dead')
  t.equal(look(liveness, 12_001), 'dead', 'and stays so')
})

t.test('counts the silence from the look that found a byte', async (t) => {
  const liveness = createLiveness(times, 0)
  look(liveness, 0)
  liveness.heard = true
  t.not(look(liveness, 11_000), 'dead')
  t.not(look(liveness, 22_999), 'dead')
  t.equal(look(liveness, 23_000), 'dead')
})

t.test('hears a byte that came after the last look, however late this one is', async (t) => {
  const liveness = createLiveness(times, 0)
  liveness.heard = true
  t.not(look(liveness, 1e9), 'dead')
})
