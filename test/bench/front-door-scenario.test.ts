/** The question of the front door, which has more cases than others: near, at the end of a long way, and on a processor of its own. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { throughRouter } from '../../bench/peers/router.ts'
import { doorApart, type Place } from '../../bench/places.ts'
import { frontDoor, frontDoorApart } from '../../bench/scenarios/front-door.ts'
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

t.test('a door apart has a processor that nobody else has', async (t) => {
  const places = await doorApart().catch((error: Error) => error.message)
  if (typeof places === 'string') {
    t.match(places, /two of them|taskset/)
    return
  }
  const allowed = ({ enter: [command, ...args] }: Place): string =>
    execFileSync(command!, [...args, 'sed', '-n', 's/^Cpus_allowed_list:\\s*//p', '/proc/self/status']).toString()
  t.match(allowed(places.door), /^\d+\n$/)
  t.match(allowed(places.hub), /^\d+\n$/)
  t.not(allowed(places.door), allowed(places.hub))
  t.equal(allowed(places.cell), allowed(places.hub))

  for (const result of await ask(frontDoorApart, throughRouter)) {
    t.ok(Number(readings(result).rate) > 0, result.subject.label)
  }
})
