/** A server of many clusters, and agents and clients of each. */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { type Leaf, makePki, type Pki, temporaryFolder } from './certificates.ts'
import { connectHead, type FrontendAnswer, readAll, readAnswer } from './client.ts'
import { event } from './deadline.ts'
import { type NamingAgent, namingAgent } from './naming-agent.ts'
import { type Server, startServer } from './tunnel.ts'

export type Hub = Server & {
  /** Replaces the clusters file in one step. */
  readonly write: (text: string) => void
  /** The health port names no clusters. */
  readonly figuresPort: number
  /** What makes sockets: short paths. */
  readonly folder: string
}

/** @param clusters what the file says at first */
export async function startHub(
  t: Test,
  clusters: (folder: string) => string,
  flags: readonly string[] = [],
  pki?: Pki,
): Promise<Hub> {
  const folder = temporaryFolder(t)
  const file = join(folder, 'clusters.yaml')
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(clusters(folder))
  const server = await startServer(t, {
    pki: pki ?? (await makePki(t)),
    flags: ['--tenancy=multi', `--clusters=${file}`, '--trust-domain=hub.example', ...flags],
  })
  return { ...server, folder, write, figuresPort: server.adminPort }
}

export const agentLeaf = ({ pki }: Pick<Server, 'pki'>, cluster: string, name = 'a1'): Promise<Leaf> =>
  pki.issue(`agent-${cluster}-${name}`, { identity: { role: 'agent', cluster, name } })
export const apiserverLeaf = ({ pki }: Pick<Server, 'pki'>, cluster: string): Promise<Leaf> =>
  pki.issue(`apiserver-${cluster}`, { identity: { role: 'apiserver', cluster } })
export const userLeaf = ({ pki }: Pick<Server, 'pki'>, name: string): Promise<Leaf> =>
  pki.issue(`user-${name}`, { identity: { role: 'user', name } })

/** One that answers every dial by its own name. */
export function hubAgent(
  t: Test,
  hub: Server,
  leaf: Leaf,
  name: string,
  identifiers = '',
  agentId = name,
): Promise<NamingAgent> {
  return namingAgent(t, { ...hub, pki: { ...hub.pki, agent: leaf } }, name, identifiers, { agentid: agentId })
}

/** @param serverName for SNI; none: no SNI */
export async function connectHub(hub: Server, leaf: Leaf, serverName?: string): Promise<TLSSocket> {
  const options = {
    host: '127.0.0.1',
    port: hub.frontendPort,
    ca: hub.pki.authority.certificatePem,
    cert: leaf.cert,
    key: leaf.key,
    allowHalfOpen: true,
    ...(serverName !== undefined && { servername: serverName }),
    checkServerIdentity: () => undefined, // the server has one certificate for all names here
  }
  const socket = connectTls(options)
  await event(socket, 'secureConnect')
  return socket
}

export async function askHub(
  hub: Server,
  leaf: Leaf,
  { serverName, address = '10.0.0.1:443' }: { readonly serverName?: string; readonly address?: string } = {},
): Promise<FrontendAnswer> {
  const socket = await connectHub(hub, leaf, serverName)
  socket.write(connectHead(address))
  const answer = (await readAll(socket)).toString('latin1')
  socket.destroy()
  return readAnswer(answer)
}
