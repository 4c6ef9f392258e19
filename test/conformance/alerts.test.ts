/**
 * The expressions of docs/metrics.md, asked of a real Prometheus that scrapes konnectivity's pair and of another one that
 * scrapes ours: an alert that fires for the one fires for the other.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { askFor } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { fetchFrom } from '../integration/figures.ts'
import { closedPort } from '../integration/target.ts'
import { freePort } from '../programs/free-port.ts'
import { program } from '../programs/programs.ts'
import { type Maker, RELEASES } from './pairing.ts'
import { start } from './process.ts'
import { agentOf, serverOf } from './programs-of.ts'

const SCRAPE_MS = 500
/** For an alert to be there after what it is about: several scrapes, on a busy machine. */
const FIRES_MS = 60_000
/** Enough for a rate over five minutes to be above 0.1 a second. */
const FAILED_DIALS = 100
const PREFIX = 'konnectivity_network_proxy_server_'

const document = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8')
const [shared = [], own = []] = [...document.matchAll(/^```promql$([\s\S]*?)^```$/gm)].map(([, block = '']) =>
  block.split('\n').filter((line) => line !== '' && !line.startsWith('#')),
)

type Watched = {
  readonly maker: Maker
  /** Those of the expressions that give something now, which is what an alert fires for. */
  readonly firing: (expressions: readonly string[]) => Promise<string[]>
  /** Until Prometheus has this value, of a series that it scrapes. */
  readonly sees: (expression: string, value: number) => Promise<unknown>
  readonly failDials: (count: number) => Promise<void>
  readonly killAgent: () => Promise<unknown>
}

async function startWatched(t: Test, maker: Maker): Promise<Watched> {
  const pki = await makePki(t)
  const server = await serverOf(t, maker, pki)
  const agent = await agentOf(t, maker, server)
  await agent.answersOk(agent.healthPort, '/readyz')
  await server.answersOk(server.healthPort, '/readyz')
  const targets = [server, agent].map(({ healthPort }) => `127.0.0.1:${healthPort}`)
  const port = await startPrometheus(t, targets)

  async function ask(expression: string): Promise<readonly { readonly value: readonly [number, string] }[]> {
    const response = await fetchFrom(port, `/api/v1/query?query=${encodeURIComponent(expression)}`)
    const { status, error, data } = JSON.parse(await response.text())
    if (status !== 'success') throw new Error(`${expression}: ${error}`)
    return data.result
  }

  const sees = (expression: string, value: number): Promise<unknown> =>
    eventually(
      `${maker}: ${expression} is ${value}`,
      async () => Number((await ask(expression))[0]?.value[1]),
      (found) => found === value,
      FIRES_MS,
    )
  await sees('min(count_over_time(up[1h]) * up) >= bool 3', 1)
  return {
    maker,
    sees,
    async firing(expressions) {
      const answers = await Promise.all(expressions.map(ask))
      return expressions.filter((_, index) => answers[index]!.length > 0)
    },
    async failDials(count) {
      const address = await closedPort()
      for (let done = 0; done < count; done++) await askFor(server, address)
    },
    killAgent: () => agent.kill('SIGKILL'),
  }
}

/** @returns its port, once it answers */
async function startPrometheus(t: Test, targets: readonly string[]): Promise<number> {
  const folder = temporaryFolder(t)
  const config = join(folder, 'prometheus.yaml')
  writeFileSync(
    config,
    [
      `global: {scrape_interval: ${SCRAPE_MS}ms, scrape_timeout: ${SCRAPE_MS}ms}`,
      'scrape_configs:',
      '- job_name: konnectivity',
      `  static_configs: [{targets: ${JSON.stringify(targets)}}]`,
    ].join('\n'),
  )
  const port = await freePort()
  const args = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]
  const prometheus = start(t, { name: 'prometheus', file: await program('prometheus'), args })
  await prometheus.answersOk(port, '/-/ready')
  return port
}

t.test('what fires for konnectivity fires for Culvert, and nothing else', async (t) => {
  t.ok(shared.length > 8 && own.length > 8)
  const pairs = await Promise.all([RELEASES[0], 'ours' as const].map((maker) => startWatched(t, maker)))
  const expectFiring = async (when: string, expected: readonly string[]): Promise<void> => {
    for (const { maker, firing } of pairs) {
      await eventually(
        `${when}, ${maker}: ${expected.join('; ')}`,
        () => firing(shared),
        (found) => found.join() === expected.join(),
        FIRES_MS,
      )
      t.pass(`${when}, ${maker}: ${expected.length} of ${shared.length} fire`)
    }
  }
  const including = (...parts: string[]): string[] =>
    shared.filter((expression) => parts.some((part) => expression.includes(part)))

  await expectFiring('with one agent', including('grpc_connections'))
  for (const { maker, firing } of pairs) {
    if (maker === 'ours') t.strictSame(await firing(own), [], 'and of ours none')
  }

  for (const { sees, failDials } of pairs) {
    await failDials(1) // a counter has to be seen before it can be seen to grow
    await sees(`sum(${PREFIX}dial_failure_count)`, 1)
    await failDials(FAILED_DIALS)
  }
  await expectFiring('dials fail', including('grpc_connections', 'server_dial_failure_count'))

  for (const { killAgent } of pairs) await killAgent()
  await expectFiring('the agent is gone', including('grpc_connections', 'ready_backend', 'server_dial_failure_count'))
})
