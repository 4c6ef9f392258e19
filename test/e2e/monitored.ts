/** What there is to scrape in the cell: 50 pods on three nodes, of which each has an address of its own. */
import { MORE_NODE_ADDRESSES } from './network.ts'
import { list, NODE, pod } from './objects.ts'
import { HTTP_PORT } from './target.ts'
import { WEBHOOK_PORT } from './webhook.ts'

export const MONITORED_PODS = 50
export const MONITORED_NODES = [NODE, ...MORE_NODE_ADDRESSES.map((_, index) => `${NODE}-${index + 1}`)]

/** A pod that is scraped over HTTPS; every other one of the rest closes the connection after each answer. */
const HTTPS_POD = 0

/** For `kubectl create`: a node that is created with an address and a host name keeps them. */
export function monitoredObjects(): string {
  const nodes = MORE_NODE_ADDRESSES.map((address, index) => {
    const name = MONITORED_NODES[index + 1] ?? NODE
    const addresses = [
      { type: 'InternalIP', address },
      { type: 'Hostname', address: name },
    ]
    return { apiVersion: 'v1', kind: 'Node', metadata: { name }, status: { addresses } }
  })
  const pods = Array.from({ length: MONITORED_PODS }, (_, index) => {
    const nodeName = MONITORED_NODES[index % MONITORED_NODES.length] ?? NODE
    return pod(nameOf(index), { nodeName, annotations: annotationsOf(index) })
  })
  return list([...nodes, ...pods])
}

/** Where the pod is found at kube-apiserver, by the rules of docs/prometheus.md. */
export function proxyPathOf(index: number): string {
  const scheme = index === HTTPS_POD ? 'https:' : ''
  return `/api/v1/namespaces/default/pods/${scheme}${nameOf(index)}:${portOf(index)}/proxy${pathOf(index)}`
}

export function nameOf(index: number): string {
  return `monitored-${index}`
}

function annotationsOf(index: number): Record<string, string> {
  return {
    'prometheus.io/scrape': 'true',
    'prometheus.io/port': String(portOf(index)),
    ...(index === HTTPS_POD && { 'prometheus.io/scheme': 'https' }),
    ...(pathOf(index) !== '/metrics' && { 'prometheus.io/path': pathOf(index) }),
  }
}

function portOf(index: number): number {
  return index === HTTPS_POD ? WEBHOOK_PORT : HTTP_PORT
}

function pathOf(index: number): string {
  return index % 2 === 0 ? '/metrics' : '/metrics/closing'
}
