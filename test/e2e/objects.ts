/** The objects of the cell's cluster. No controllers run here, so where the services are is written by the test. */
import { readFile } from 'node:fs/promises'
import { AGGREGATED_API_PORT, GROUP } from './aggregated-api.ts'
import type { Certificate } from './pki.ts'
import { HTTP_PORT } from './target.ts'
import { REVIEWED_LABEL, WEBHOOK_PATH, WEBHOOK_PORT } from './webhook.ts'

export const NODE = 'cell'
export const POD = 'web'
const NAMESPACE = 'default'

/** Services of the cell, the port that clients use, and the port of the pod behind it. */
const services = [
  { name: 'web', port: 80, podPort: HTTP_PORT },
  { name: 'things', port: 443, podPort: AGGREGATED_API_PORT },
  { name: 'gate', port: 443, podPort: WEBHOOK_PORT },
]

/** One List for `kubectl apply`. @param ca signed the certificates of the aggregated API and of the webhook */
export async function objects(ca: Certificate): Promise<string> {
  const caBundle = (await readFile(ca.cert)).toString('base64')
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE } }
  return list([node, pod(POD, { nodeName: NODE }), ...services.map(service), apiService(caBundle), webhook(caBundle)])
}

type PodPlan = { readonly nodeName: string; readonly annotations?: Readonly<Record<string, string>> }

export function pod(name: string, { nodeName, annotations = {} }: PodPlan): object {
  const containers = [{ name: 'main', image: 'none' }]
  const tolerations = [{ operator: 'Exists' }]
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: NAMESPACE, annotations },
    spec: { nodeName, containers, tolerations, automountServiceAccountToken: false },
  }
}

/**
 * All services are at the one pod. kube-apiserver's service proxy goes by Endpoints; its calls of webhooks and aggregated
 * APIs go by Endpoints up to 1.33, later by EndpointSlice.
 */
export function endpoints(podAddress: string): string {
  return list(services.flatMap((service) => [endpointsOf(service, podAddress), sliceOf(service, podAddress)]))
}

export function list(items: readonly object[]): string {
  return JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
}

type Service = (typeof services)[number]

function service({ name, port }: Service): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: NAMESPACE }, spec: { ports: [{ port }] } }
}

function endpointsOf({ name, podPort }: Service, ip: string): object {
  const targetRef = { kind: 'Pod', namespace: NAMESPACE, name: POD }
  const subsets = [{ addresses: [{ ip, targetRef }], ports: [{ port: podPort }] }]
  return { apiVersion: 'v1', kind: 'Endpoints', metadata: { name, namespace: NAMESPACE }, subsets }
}

function sliceOf({ name, podPort }: Service, ip: string): object {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ port: podPort, protocol: 'TCP' }],
    endpoints: [{ addresses: [ip], conditions: { ready: true } }],
  }
}

function apiService(caBundle: string): object {
  return {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: `v1.${GROUP}` },
    spec: {
      group: GROUP,
      version: 'v1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
      service: { namespace: NAMESPACE, name: 'things' },
      caBundle,
    },
  }
}

function webhook(caBundle: string): object {
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['configmaps'] }
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: 'gate' },
    webhooks: [
      {
        name: 'gate.culvert.test',
        clientConfig: { service: { namespace: NAMESPACE, name: 'gate', path: WEBHOOK_PATH }, caBundle },
        rules: [rule],
        objectSelector: { matchLabels: { [REVIEWED_LABEL]: 'true' } },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 10,
      },
    ],
  }
}
