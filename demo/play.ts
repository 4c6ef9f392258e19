/** The steps, in order: what each does is in `steps/`, what it says of itself is here. */
import { aligned, type Output } from './output.ts'
import type { Scene } from './scene.ts'
import { ADDRESS, makeCertificates } from './steps/certificates.ts'
import { curlLine } from './steps/curl.ts'
import { awaitAgent, awaitHeartbeat } from './steps/fleet.ts'
import { startPrivateService } from './steps/private-service.ts'
import { startAgent, startServer } from './steps/programs.ts'
import { requestThroughTunnel } from './steps/tunnel.ts'

/** Does one step, and prints what it took and what `report` makes of its result. */
export type Step = <T>(title: string, work: () => Promise<T>, report: (made: T) => readonly string[]) => Promise<T>

/** @param resources owns what the steps start */
export async function play(scene: Scene, resources: AsyncDisposableStack, output: Output, step: Step): Promise<void> {
  output.line('Culvert: a private HTTP service, reached through a connection that its own side opened.')
  output.line()

  const certificates = await step(
    'certificates',
    () => makeCertificates(scene.folder),
    () => [`a CA, and one each for server, agent and user, in ${scene.folder}`],
  )
  const service = await step(
    'private service',
    async () => resources.use(await startPrivateService()),
    ({ url }) => [
      `${url}, private by its loopback address: no other machine can reach it.`,
      'Programs on this machine can. Of those below only the agent does, as the counts of bytes will show.',
    ],
  )
  const server = await step(
    'proxy-server',
    async () => resources.use(await startServer(scene, certificates)),
    ({ pid, ports }) => [
      `process ${pid}: agents on ${ADDRESS}:${ports.agent}, CONNECT on ${ADDRESS}:${ports.server}, both mutual TLS`,
    ],
  )
  const frontendPort = server.ports.server ?? 0
  const adminPort = server.ports.admin ?? 0

  const request = () => requestThroughTunnel(scene, certificates, frontendPort, service)
  await step('without an agent', request, ({ connect, service: answer }) => {
    if (answer !== undefined) throw new Error('expected no answer while there is no agent')
    return [`CONNECT ${service.target}: ${connect.status} ${connect.reason}`]
  })
  await step(
    'proxy-agent',
    async () => {
      const agent = resources.use(await startAgent(scene, certificates, server.ports.agent ?? 0))
      await awaitAgent(scene, adminPort)
      return agent
    },
    ({ pid }) => [
      `process ${pid}: connected out to ${ADDRESS}:${server.ports.agent}, and listens for nothing but probes`,
    ],
  )
  const { service: answer } = await step('with the agent', request, ({ connect, service: answer }) => {
    if (answer?.status !== 200) throw new Error(`CONNECT ${service.target}: ${connect.status} ${connect.reason}`)
    return [
      `CONNECT ${service.target}: ${connect.status} ${connect.reason}`,
      `GET /: ${answer.status} ${answer.reason}`,
    ]
  })
  const { url, agent } = await step(
    'heartbeat',
    () => awaitHeartbeat(scene, adminPort, service),
    ({ agent: { roundTripMs, health } }) => [
      `round trip ${roundTripMs?.toFixed(1)} ms; the agent and the service count the same bytes:`,
      `${health?.bytesToTargets} to the service, ${health?.bytesFromTargets} from it`,
    ],
  )

  output.block('The service answered:', (answer?.body ?? '').trimEnd().split('\n'))
  output.block(`What the server knows of its agents, as ${url} has it:`, aligned(agent))
  output.block('The same request by hand:', [curlLine(certificates, frontendPort, service.url)])
}
