/** Access to an API server by what a flag says: a kubeconfig, whose reader is loaded only then, or as a pod has it. */
import type { ApiAccess } from './access.ts'
import { inClusterAccess } from './in-cluster.ts'

/**
 * @param kubeconfig path; empty: as a pod
 * @throws TunnelError `bad-option`
 */
export async function openAccess(kubeconfig: string): Promise<ApiAccess> {
  if (kubeconfig === '') return inClusterAccess()
  const { kubeconfigAccess } = await import('./kubeconfig.ts')
  return kubeconfigAccess(kubeconfig)
}
