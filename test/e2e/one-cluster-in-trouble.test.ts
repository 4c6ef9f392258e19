/**
 * Two clusters behind one cluster-aware server, with `kubectl exec` running in both: one falls silent, one loses its credentials.
 * It is noticed in time, on both ends, and the other exec never misses a beat.
 */
import { rmSync } from 'node:fs'
import t from 'tap'
import { auditHas, auditLines } from '../integration/audit-log.ts'
import { figureIn } from '../integration/figures.ts'
import { agentAudit, askPlace } from './cells.ts'
import { culvert } from './identities.ts'
import { PLACE_COMMAND, startTwo } from './kubernetes.ts'
import { silence } from './network.ts'
import { POD } from './objects.ts'
import { type Member, startSharedHub } from './shared-hub.ts'
import { startTicking } from './ticking.ts'

const SILENCE_NOTICED_MS = 15_000
const REVOKED_WITHIN_MS = 5_000
/** kubectl has to hear of it as well, on a machine that does something else. */
const KUBECTL_MS = 2_000
const BACK_WITHIN_MS = 30_000

const hub = await startSharedHub(t, ['eu-1', 'eu-2'])
const [[sick, its], [well, others]] = await startTwo(hub, hub.members as [Member, Member])

/** When the log was told, in milliseconds of the clock. */
const timeOf = ({ time }: { readonly time: string }): number => Date.parse(time)

t.test(
  'a cluster that falls silent is noticed within 15 s on both ends, and comes back; its neighbour notices nothing',
  async (t) => {
    const [broken, unharmed] = await Promise.all([startTicking(its.kubectl), startTicking(others.kubectl)])
    const started = Date.now()
    silence(sick.network, true)
    const noticed = Promise.all([
      auditHas(hub.audit, { event: 'agent-end', cluster: sick.id }),
      auditHas(agentAudit(sick), { event: 'server-end' }),
      broken.ends(SILENCE_NOTICED_MS + KUBECTL_MS),
      hub.clustersAre('lost', [sick]),
    ])
    let over = false
    noticed
      .finally(() => {
        over = true
      })
      .catch(() => undefined)
    while (!over) {
      await unharmed.goesOn(5)
      t.strictSame(await askPlace(hub, well, well), { status: 200, text: well.place })
    }
    const [[atHub], [atCell]] = await noticed
    t.equal(atHub?.reason, 'heartbeat_timeout')
    t.equal(atCell?.reason, 'nothing heard from the server for too long')
    for (const [where, line] of Object.entries({ atHub, atCell })) {
      const afterMs = timeOf(line!) - started
      t.ok(afterMs <= SILENCE_NOTICED_MS, `${where} after ${afterMs} ms`)
    }
    t.not((await askPlace(hub, sick, sick)).status, 200)

    silence(sick.network, false)
    await hub.clustersAre('established', [sick], BACK_WITHIN_MS)
    t.equal((await its.kubectl.text('exec', POD, '--', ...PLACE_COMMAND)).trim(), sick.place, 'it is back')
    await unharmed.goesOn(5)
    unharmed.stop()
  },
)

t.test('a cluster whose agent is revoked loses what is open within 5 s; its neighbour loses nothing', async (t) => {
  const [revoked, unharmed] = await Promise.all([startTicking(its.kubectl), startTicking(others.kubectl)])
  await culvert('pki', 'revoke', sick.agent.cert, '--dir', hub.authority.dir)
  const started = Date.now()
  await revoked.ends(REVOKED_WITHIN_MS + KUBECTL_MS)
  const [cutOff] = await auditHas(hub.audit, { event: 'cut-off', principal: `cluster/${sick.id}/agent/agent` })
  const afterMs = timeOf(cutOff!) - started
  t.ok(afterMs <= REVOKED_WITHIN_MS, `cut off after ${afterMs} ms`)
  await hub.clustersAre('lost', [sick])
  t.not((await askPlace(hub, sick, sick)).status, 200)
  t.not((await its.kubectl(['exec', POD, '--', 'true'])).code, 0, 'nor does its API server reach it')
  await auditHas(hub.audit, { event: 'agent', verdict: 'refused', reason: /revoked/ })
  t.equal(figureIn(await hub.metrics(), 'culvert_server_cut_off_connections_total{port="agent",why="revoked"}'), 1)
  await unharmed.goesOn(30)
  t.strictSame(await askPlace(hub, well, well), { status: 200, text: well.place })
  unharmed.stop()
  const cutOffs = auditLines(hub.audit).filter(({ event }) => event === 'cut-off')
  t.strictSame([...new Set(cutOffs.map(({ principal }) => principal))], [cutOff?.principal], 'and nobody else')

  const agent = hub.agents.get(sick.id)!
  agent.signal('SIGKILL')
  await agent.ended
  rmSync(sick.agent.cert)
  rmSync(sick.agent.key)
  await hub.invite(sick)
  hub.startAgent(sick)
  await hub.clustersAre('established', [sick], BACK_WITHIN_MS)
  t.equal(
    (await its.kubectl.text('exec', POD, '--', ...PLACE_COMMAND)).trim(),
    sick.place,
    'a new token lets a new agent in',
  )
})
