/** Steps: proxy-server and proxy-agent with the flags that the demo needs, every port any free one. */
import { type Program, startProgram } from '../program.ts'
import type { Scene } from '../scene.ts'
import { ADDRESS, type Certificates, TRUST_DOMAIN } from './certificates.ts'

export function startServer(scene: Scene, { ca, server }: Certificates): Promise<Program> {
  return startProgram(scene, 'proxy-server', [
    '--mode=http-connect',
    '--server-id=demo-server',
    `--trust-domain=${TRUST_DOMAIN}`,
    ...[`--server-bind-address=${ADDRESS}`, '--server-listen-any'],
    ...[`--server-cert=${server.certificateFile}`, `--server-key=${server.keyFile}`],
    `--server-ca-cert=${ca.certificateFile}`,
    ...[`--agent-bind-address=${ADDRESS}`, '--agent-port=0'],
    ...[`--cluster-cert=${server.certificateFile}`, `--cluster-key=${server.keyFile}`],
    `--cluster-ca-cert=${ca.certificateFile}`,
    ...[`--health-bind-address=${ADDRESS}`, '--health-port=0', '--admin-port=0'],
    '--graceful-shutdown-timeout=1s',
  ])
}

/** @param agentPort of the server */
export function startAgent(scene: Scene, { ca, agent }: Certificates, agentPort: number): Promise<Program> {
  return startProgram(scene, 'proxy-agent', [
    '--agent-id=demo-agent',
    ...[`--proxy-server-host=${ADDRESS}`, `--proxy-server-port=${agentPort}`],
    `--ca-cert=${ca.certificateFile}`,
    ...[`--agent-cert=${agent.certificateFile}`, `--agent-key=${agent.keyFile}`],
    ...[`--health-server-host=${ADDRESS}`, '--health-server-port=0', '--admin-server-port=0'],
    '--heartbeat-interval=500ms',
    '--drain-timeout=1s',
  ])
}
