/** The objects of the cell's cluster. No controllers run here. */
import { readFile } from 'node:fs/promises'
import { AGGREGATED_API_PORT, GROUP } from './aggregated-api.ts'
import type { Certificate } from './pki.ts'
import { HTTP_PORT } from './target.ts'

export const NODE = 'cell'
export const POD = 'web'

/** One List for `kubectl apply`. @param ca signed the certificate of the aggregated API */
export async function objects(ca: Certificate): Promise<string> {
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE } }
  const containers = [{ name: 'main', image: 'none' }]
  const tolerations = [{ operator: 'Exists' }]
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: POD, namespace: 'default' },
    spec: { nodeName: NODE, containers, tolerations, automountServiceAccountToken: false },
  }
  const apiService = {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: `v1.${GROUP}` },
    spec: {
      group: GROUP,
      version: 'v1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { namespace: 'default', name: 'things' },
      caBundle: (await readFile(ca.cert)).toString('base64'),
    },
  }
  const items = [node, pod, service('web', 80), service('things', 443), apiService]
  return list(items)
}

/** What no controller writes here: where the services are. kube-apiserver's service proxy goes to a pod, by Endpoints. */
export function endpoints(podAddress: string): string {
  const targetRef = { kind: 'Pod', namespace: 'default', name: POD }
  const ofWeb = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'web', namespace: 'default' },
    subsets: [{ addresses: [{ ip: podAddress, targetRef }], ports: [{ port: HTTP_PORT }] }],
  }
  const ofThings = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'things', namespace: 'default', labels: { 'kubernetes.io/service-name': 'things' } },
    addressType: 'IPv4',
    ports: [{ port: AGGREGATED_API_PORT, protocol: 'TCP' }],
    endpoints: [{ addresses: [podAddress], conditions: { ready: true } }],
  }
  return list([ofWeb, ofThings])
}

function service(name: string, port: number): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'default' }, spec: { ports: [{ port }] } }
}

function list(items: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
}
