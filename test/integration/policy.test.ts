/**
 * The agent's own policy through a whole tunnel: what is denied by name, by address and by what a name resolves to. The
 * policy is looked at every five seconds.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki, temporaryFolder } from './certificates.ts'
import { askFor, echoOver, openTunnel } from './client.ts'
import { AGENT, figure } from './figures.ts'
import { launch } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent, startServer, startTunnel } from './tunnel.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const { port } = target

const refusedBy = (why: string): string => `culvert_agent_refused_dials_total{why="${why}"}`

/** A tunnel whose agent has this policy, in a file that can be written anew. */
async function start(t: Test, policy: string, flags: readonly string[] = []) {
  const folder = temporaryFolder(t)
  const file = join(folder, 'policy.yaml')
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(policy)
  const server = await startServer(t, { pki })
  const agent = await startAgent(t, server, { flags: [`--policy-file=${file}`, ...flags] })
  const isDenied = async (t: Test, address: string, body: RegExp): Promise<void> => {
    t.match(await askFor(server, address), {
      status: 502,
      headers: { 'proxy-status': /error=destination_ip_prohibited/ },
      body,
    })
  }
  const works = async (address: string): Promise<void> => {
    const socket = await openTunnel(server, address)
    await echoOver(socket, 'allowed')
    socket.destroy()
  }
  return { server, agent, write, isDenied, works }
}

t.test('default deny; denied by name, by address and by what a name resolves to', async (t) => {
  const { server, agent, isDenied, works } = await start(
    t,
    `rules:
  - allow: { cidr: 127.0.0.1, ports: [${port}] }
  - allow: { name: "*.example", ports: [${port}] }
  - deny: { name: secret.example }
  - deny: { cidr: [127.0.0.2, "::1"] }
`,
  )
  await works(target.address)
  await works(`localhost:${port}`)
  await works(`[::ffff:127.0.0.1]:${port}`)
  const by = (rule: string): RegExp => new RegExp(`not allowed by the policy of this agent: ${rule}$`)
  await isDenied(t, `127.0.0.3:${port}`, by('no rule allows it'))
  await isDenied(t, `127.0.0.1:${port === 1 ? 2 : 1}`, by('no rule allows it'))
  await isDenied(t, `127.0.0.2:${port}`, by('rule 4, deny 127.0.0.2/32, ::1/128'))
  await isDenied(t, `[::ffff:127.0.0.2]:${port}`, by('rule 4, .*'))
  await isDenied(t, `[::FFFF:7f00:2]:${port}`, by('rule 4, .*'))
  await isDenied(t, `[::127.0.0.2]:${port}`, by('rule 4, .*'))
  await isDenied(t, `0.0.0.0:${port}`, by('no rule allows it'))
  await isDenied(t, `Secret.EXAMPLE.:${port}`, by('rule 3, deny secret.example'))
  t.match(await askFor(server, `0177.0.0.2:${port}`), { status: 502, body: /no such host$/ }, 'octal is no address')
  t.match(await askFor(server, `0x7f000002:${port}`), { status: 502, body: /no such host$/ })
  t.match(await askFor(server, `127.2:${port}`), { status: 502, body: /no such host$/ })
  t.equal(await figure(agent, refusedBy('policy')), 8)
  t.equal(await figure(agent, `${AGENT}endpoint_dial_failure_total{reason="unknown"}`), 11)
  t.ok((await figure(agent, 'culvert_agent_policy_decision_seconds_count')) >= 10)
})

t.test('a name that resolves to a denied address is denied, though the name is allowed', async (t) => {
  const rules = 'rules:\n  - allow: { name: localhost }\n  - deny: { cidr: [127.0.0.0/8, "::1"] }\n'
  const { server, agent, isDenied } = await start(t, rules)
  await isDenied(
    t,
    `localhost:${port}`,
    /not allowed by the policy of this agent: rule 2, deny 127\.0\.0\.0\/8, ::1\/128$/,
  )
  await isDenied(t, `LOCALHOST:${port}`, /rule 2/)
  t.match(await askFor(server, '169.254.169.254:80'), { body: /link-local addresses are not allowed by this agent/ })
  t.equal(await figure(agent, refusedBy('policy')), 2)
  t.equal(await figure(agent, refusedBy('link_local')), 1)
})

t.test('addresses of the hub are never dialled, whatever the policy says', async (t) => {
  const { agent, isDenied, works } = await start(t, 'rules: [{ allow: {} }]', ['--hub-ranges=127.0.0.2,192.0.2.0/24'])
  await works(target.address)
  await isDenied(t, `127.0.0.2:${port}`, /addresses of the hub are not allowed by this agent/)
  await isDenied(t, `[64:ff9b::192.0.2.9]:${port}`, /addresses of the hub are not allowed by this agent/)
  t.equal(await figure(agent, refusedBy('hub_range')), 2)
})

t.test('an agent does not dial the server where it reaches it, and what else is there it does', async (t) => {
  const { server, agent } = await startTunnel(t, { pki })
  for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', '0.0.0.0']) {
    t.match(await askFor(server, `${host}:${server.agentPort}`), {
      status: 502,
      body: /addresses of the hub are not allowed by this agent/,
    })
  }
  t.equal(await figure(agent, refusedBy('hub_range')), 3)
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'at the same address')
  socket.destroy()
})

t.test('a changed policy is in force without a restart; a broken one keeps the old and raises an alarm', async (t) => {
  const { agent, write, isDenied, works } = await start(t, 'rules: []')
  await isDenied(t, target.address, /no rule allows it/)
  write(`rules: [{ allow: { cidr: 127.0.0.0/8 } }]`)
  await agent.logged('policy changed')
  await works(target.address)
  write('rules: [{ alow: {} }]')
  const { reason } = await agent.logged('policy is broken, the one before stays in force')
  t.match(reason, /policy\.yaml:1: rules\.0\.alow: expected one of the keys allow, deny, comment, got "alow"/)
  t.equal(await figure(agent, 'culvert_agent_policy_file_broken'), 1)
  await works(target.address)
  write('rules: []')
  await agent.logged('policy is good again')
  await agent.logged('policy changed', 2)
  await isDenied(t, target.address, /no rule allows it/)
  t.equal(await figure(agent, 'culvert_agent_policy_file_broken'), 0)
})

t.test('an agent whose policy cannot be read does not start', async (t) => {
  const folder = temporaryFolder(t)
  const cases = [
    ['rules: [{ alow: {} }]', /policy\.yaml:1: rules\.0\.alow: expected one of the keys/],
    ['rules: [', /policy\.yaml:\d: /],
    ['', /policy\.yaml: expected one document with the key rules, got none/],
  ] as const
  for (const [text, problem] of cases) {
    const file = join(folder, 'policy.yaml')
    writeFileSync(file, text)
    const flags = [
      `--policy-file=${file}`,
      `--ca-cert=${pki.caFile}`,
      '--health-server-port=0',
      '--admin-server-port=0',
    ]
    const agent = launch(t, { name: 'proxy-agent', flags })
    t.strictSame(await agent.ended, { code: 1, signal: null })
    t.match(agent.lines.join('\n'), problem)
  }
})
