/**
 * Access to the API server as a pod has it: its address in the environment, CA and token in files that the kubelet renews.
 * Source: Kubernetes, "Accessing the Kubernetes API from a Pod".
 */

import { TunnelError } from '../platform/errors.ts'
import { readSmallFile, readTokenFile } from '../platform/secret-file.ts'
import type { ApiAccess } from './access.ts'

const FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
const MAX_CA_BYTES = 1_048_576

type Environment = Readonly<Record<string, string | undefined>>

/** @throws TunnelError `bad-option` outside of a pod */
export async function inClusterAccess(environment: Environment = process.env, folder = FOLDER): Promise<ApiAccess> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment
  if (!host || !port) {
    const why = 'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod'
    throw new TunnelError('bad-option', `failed to load kubernetes client config: ${why}: pass --kubeconfig`)
  }
  const credentials: ApiAccess['credentials'] = async () => {
    const token = readTokenFile(`${folder}/token`)
    return {
      headers: { authorization: `Bearer ${token}` },
      tls: { ca: readSmallFile(`${folder}/ca.crt`, MAX_CA_BYTES) },
    }
  }
  await credentials() // a pod without its token would not get far: say so now
  return { server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`), credentials }
}
