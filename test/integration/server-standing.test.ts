/** Servers whose certificates are no longer good: an agent that is connected to one leaves it within five seconds, and says why. */

import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { auditHas } from './audit-log.ts'
import { makePki } from './certificates.ts'
import { echoOver, endOf, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent, startServer } from './tunnel.ts'

/** What is promised of whoever is no longer good. */
const OUT_MS = 5_000
const target = await listenTarget(t, echo)
const hub = (lifetimeMs?: number) => ({
  identity: { role: 'server', id: 'hub-0' } as const,
  ipAddresses: ['127.0.0.1'],
  ...(lifetimeMs !== undefined && { lifetimeMs }),
})

t.test('an agent leaves a server whose certificate expires, and comes back when it has another one', async (t) => {
  const pki = await makePki(t)
  const brief = await pki.issue('brief', hub(9_000))
  const auditLog = join(pki.folder, 'agent.log')
  const server = await startServer(t, { pki: { ...pki, server: brief } })
  const agent = await startAgent(t, server, { flags: [`--audit-log-file=${auditLog}`] })
  const client = { ...server, pki }
  const open = await openTunnel(client, target.address)
  await echoOver(open, 'while it is good')
  const leftMs = new X509Certificate(brief.cert).validToDate.getTime() - Date.now()
  await within(endOf(open), 'what it has open ends', leftMs + OUT_MS)
  const reason = /^the server's certificate, or that of a CA above it, expired at /
  t.match(await agent.logged('disconnected'), { reason })
  await auditHas(auditLog, { event: 'server-end', reason })
  t.match(await agent.logged('could not connect'), { reason: /certificate has expired/ })
  await pki.issue('brief', hub())
  await agent.logged('connected', 2)
})
