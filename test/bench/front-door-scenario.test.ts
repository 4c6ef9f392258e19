/** The question of the front door, which has more cases than others: near, and at the end of a long way. */
import t from 'tap'
import { throughRouter } from '../../bench/peers/router.ts'
import { frontDoor } from '../../bench/scenarios/front-door.ts'
import { ask, readings } from './asking.ts'

t.test('bulk both ways and CONNECTs pass a front door', async (t) => {
  const results = await ask(frontDoor, throughRouter)
  const near = results.filter(({ subject }) => !subject.path)
  t.strictSame(
    near.map(({ subject }) => subject.label),
    ['all pass it', 'agents alone pass it'].flatMap((who) =>
      ['bulk download, 2 connections', 'bulk upload, 2 connections', 'CONNECT, request, close, 2 at a time'].map(
        (what) => `${what}, ${who}`,
      ),
    ),
  )
  for (const result of near) t.ok(Number(readings(result).rate) > 0, result.subject.label)
  const far = results.filter(({ subject }) => subject.path)
  t.strictSame(
    far.map(({ subject }) => subject.label),
    ['download', 'upload'].map((direction) => `10 ms, 0 % lost, ${direction}, 2 connections`),
  )
  for (const result of far) {
    const [round] = result.rounds[0]!
    if (round?.kind === 'skipped') t.match(round.why, /root|namespace|TUN|needs Go/)
    else t.ok(Number(readings(result).rate) > 0, result.subject.label)
  }
})
