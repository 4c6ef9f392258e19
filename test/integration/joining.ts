/** A hub that gives certificates, agents that join it, and clients of its enrolment that say what a test wants. */
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { ENROLMENT_ALPN, type EnrolmentAnswer, readAnswer } from '../../src/pki/enrolment-wire.ts'
import { createSigningRequest } from '../../src/pki/signing-request.ts'
import { writePair } from '../../src/pki/store.ts'
import { create } from '../../src/pki/token-commands/create.ts'
import { run } from '../platform/run-command.ts'
import { type Leaf, makePki, type Pki, temporaryFolder } from './certificates.ts'
import { event, within } from './deadline.ts'
import { launch, type Program } from './program.ts'
import { type Server, startServer } from './tunnel.ts'

export type Hub = Server & { readonly tokens: string }

export async function startHub(t: Test, flags: readonly string[] = [], own?: Pki): Promise<Hub> {
  const pki = own ?? (await makePki(t))
  const { certificateFile, keyFile } = writePair(pki.folder, 'ca', { ...pki.authority }, 'replace')
  const tokens = join(pki.folder, 'join-tokens')
  const enrolment = [
    `--enrolment-ca-cert=${certificateFile}`,
    `--enrolment-ca-key=${keyFile}`,
    `--join-tokens=${tokens}`,
  ]
  return { ...(await startServer(t, { pki, flags: [...enrolment, ...flags] })), tokens }
}

/** @param more flags of `culvert token create` */
export async function tokenOf({ pki, tokens }: Hub, more: readonly string[] = [], nowUnixMs?: number): Promise<string> {
  const argv = ['--cluster', 'eu-1', '--ca', pki.caFile, '--tokens', tokens, ...more]
  const outcome = await run(create, argv, nowUnixMs)
  return outcome.kind === 'done' ? (outcome.lines[0] ?? '') : ''
}

export type Joining = Program & {
  readonly folder: string
  readonly files: Record<'token' | 'cert' | 'key' | 'ca' | 'ports', string>
}

export function joinWith(
  t: Test,
  agentPort: number,
  token: string | undefined,
  folder = temporaryFolder(t),
  more: readonly string[] = [],
): Joining {
  const file = (name: string): string => join(folder, name)
  const files = {
    token: file('token'),
    cert: file('agent.crt'),
    key: file('agent.key'),
    ca: file('ca.crt'),
    ports: file('ports'),
  }
  if (token !== undefined) writeFileSync(files.token, `${token}\n`, { mode: 0o600 })
  const flags = [
    `--proxy-server-port=${agentPort}`,
    `--join-token-file=${files.token}`,
    `--agent-cert=${files.cert}`,
    `--agent-key=${files.key}`,
    `--ca-cert=${files.ca}`,
    `--ports-file=${files.ports}`,
    '--health-server-host=127.0.0.1',
    '--health-server-port=0',
    '--admin-server-port=0',
    '--sync-interval=50ms',
    ...more,
  ]
  return { ...launch(t, { name: 'proxy-agent', flags }), folder, files }
}

export const enrolments = (kind: string, outcome: string): string =>
  `culvert_server_enrolments_total{kind="${kind}",outcome="${outcome}"}`
export const spoken = ({ log, lines }: Program): string =>
  [...lines, ...log.map((line) => JSON.stringify(line))].join('\n')

/** A client of the enrolment port that says what the test wants. */
export async function converse(
  hub: Pick<Hub, 'agentPort' | 'pki'>,
  text: string | Buffer,
  leaf?: Leaf,
): Promise<EnrolmentAnswer | undefined> {
  return converseOver(await connectRaw(hub, leaf), text)
}

/** The same on a connection that stands: for those who are to ask in one moment. */
export async function converseOver(socket: TLSSocket, text: string | Buffer): Promise<EnrolmentAnswer | undefined> {
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  socket.write(text)
  await within(new Promise((resolve) => socket.once('close', resolve)), 'the hub answers and hangs up')
  return readAnswer(heard.split('\n')[1] ?? '')
}

export async function connectRaw(
  { agentPort, pki }: Pick<Hub, 'agentPort' | 'pki'>,
  leaf?: Leaf,
  localAddress = '127.0.0.1',
): Promise<TLSSocket> {
  const socket = connectTls({
    socket: connect({ host: '127.0.0.1', localAddress, port: agentPort }),
    host: '127.0.0.1',
    ca: pki.authority.certificatePem,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    ALPNProtocols: ['h2', ENROLMENT_ALPN], // as an agent with --alpn-proto=h2
  })
  socket.on('error', () => undefined)
  await event(socket, 'secureConnect')
  return socket
}

export const newRequest = (): string =>
  createSigningRequest(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
