/** The flags that the two pairs of programs share by name: ours are a drop-in, so both are started alike. */
import { join } from 'node:path'
import type { Frontend } from '../load/tunnel.ts'
import type { PeerStart } from './peer.ts'

/** @param listenOn what the program needs to listen on a TCP port of its own choice, or ours */
export function serverFlags({ frontend, folder, certificates, places }: PeerStart, listenOn: string): string[] {
  const { ca, server } = certificates
  const overTls = [
    listenOn,
    '--server-bind-address=127.0.0.1',
    `--server-ca-cert=${ca}`,
    `--server-cert=${server.cert}`,
    `--server-key=${server.key}`,
  ]
  return [
    `--mode=${frontend === 'grpc' ? 'grpc' : 'http-connect'}`,
    ...(frontend !== 'tls' ? [`--uds-name=${socketIn(folder)}`, '--server-port=0'] : overTls),
    `--cluster-ca-cert=${ca}`,
    `--cluster-cert=${server.cert}`,
    `--cluster-key=${server.key}`,
    `--agent-bind-address=${places.hub.address}`,
    '--health-bind-address=127.0.0.1',
  ]
}

export function agentFlags({ certificates, places }: PeerStart, agentPort: number): string[] {
  const { ca, agent } = certificates
  return [
    `--ca-cert=${ca}`,
    `--agent-cert=${agent.cert}`,
    `--agent-key=${agent.key}`,
    `--proxy-server-host=${places.hub.address}`,
    `--proxy-server-port=${agentPort}`,
    '--health-server-host=127.0.0.1',
  ]
}

/** Where the load connects. @param servername what it asks for; absent: nothing */
export function frontendOf({ frontend, folder, certificates }: PeerStart, port: number, servername?: string): Frontend {
  if (frontend !== 'tls') return { kind: frontend, path: socketIn(folder) }
  const asked = servername === undefined ? {} : { servername }
  return { kind: 'tls', host: '127.0.0.1', port, ca: certificates.ca, ...certificates.client, ...asked }
}

function socketIn(folder: string): string {
  return join(folder, 'frontend.sock')
}
