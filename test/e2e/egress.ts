/**
 * The three ways from kube-apiserver to proxy-server, each with the sample of config/ that says it to kube-apiserver. The
 * tests use exactly those files, with the places marked (yours) filled in.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HUB_ADDRESS } from './network.ts'
import type { Pki } from './pki.ts'

export const FRONTEND_PORT = 8090
const CONFIG = join(import.meta.dirname, '../../config')

type EgressMode = {
  readonly sample: string
  /** proxy-server's `--mode`. */
  readonly mode: 'http-connect' | 'grpc'
  readonly transport: 'tcp' | 'uds'
  /** What kube-apiserver's metrics call the protocol. */
  readonly protocolLabel: 'http_connect' | 'grpc'
}

export const egressModes = {
  'http-connect-tcp': {
    sample: 'egress-selector.yaml',
    mode: 'http-connect',
    transport: 'tcp',
    protocolLabel: 'http_connect',
  },
  'http-connect-uds': {
    sample: 'egress-selector-uds.yaml',
    mode: 'http-connect',
    transport: 'uds',
    protocolLabel: 'http_connect',
  },
  'grpc-uds': { sample: 'egress-selector-grpc.yaml', mode: 'grpc', transport: 'uds', protocolLabel: 'grpc' },
} as const satisfies Record<string, EgressMode>

export type Egress = keyof typeof egressModes

export function frontendSocket(folder: string): string {
  return join(folder, 'frontend.sock')
}

/** Where kube-apiserver finds proxy-server's frontend over TCP. */
export type Way = {
  readonly url: string
  /** Asked for in place of the host of the URL. kube-apiserver 1.33 does not know it. */
  readonly tlsServerName?: string
}
const straight: Way = { url: `https://${HUB_ADDRESS}:${FRONTEND_PORT}` }

/** The sample with this run's host and paths. @throws Error when a place of the sample was not found */
export async function egressConfiguration(
  egress: Egress,
  { tunnel }: Pick<Pki, 'tunnel'>,
  folder: string,
  { url, tlsServerName }: Way = straight,
): Promise<string> {
  const { sample, transport } = egressModes[egress]
  const serverName = tlsServerName === undefined ? '' : `\n${' '.repeat(12)}tlsServerName: ${tlsServerName}`
  const places =
    transport === 'uds'
      ? [['/run/culvert/proxy-server.sock', frontendSocket(folder)]]
      : [
          ['https://proxy-server.example.internal:8090', url],
          ['/etc/kubernetes/pki/culvert/ca.crt', `${tunnel.ca.cert}${serverName}`],
          ['/etc/kubernetes/pki/culvert/apiserver.crt', tunnel.apiserver.cert],
          ['/etc/kubernetes/pki/culvert/apiserver.key', tunnel.apiserver.key],
        ]
  return filledIn(await readFile(join(CONFIG, sample), 'utf8'), places)
}

/** Each place is in the text exactly once, or a reader's text would differ from what was tested. */
export function filledIn(text: string, places: readonly (readonly string[])[]): string {
  return places.reduce((filled, [place = '', value = '']) => {
    if (filled.split(place).length !== 2) throw new Error(`expected ${place} exactly once`)
    return filled.replace(place, () => value)
  }, text)
}

/** The connections that kube-apiserver has wanted of the tunnel, and those that failed, from its `/metrics`. */
export function countedDials(metrics: string, egress: Egress): { readonly started: number; readonly failed: number } {
  const { protocolLabel, transport } = egressModes[egress]
  const sum = (name: string): number =>
    metrics
      .split('\n')
      .filter((line) => line.startsWith(`apiserver_egress_dialer_${name}{`))
      .filter((line) => line.includes(`protocol="${protocolLabel}"`) && line.includes(`transport="${transport}"`))
      .reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  return { started: sum('dial_start_total'), failed: sum('dial_failure_count') }
}
