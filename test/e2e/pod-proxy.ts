/** The smallest thing that goes through the tunnel: one request of kube-apiserver to the pod. */
import type { Kubectl } from './kubectl.ts'
import { POD } from './objects.ts'

const HELLO = `/api/v1/namespaces/default/pods/${POD}:9100/proxy/hello`

/** How long it took, from the start of kubectl to its end, in milliseconds. @throws Error when it failed or took longer */
export async function askPod(kubectl: Kubectl, deadlineMs: number): Promise<number> {
  const started = performance.now()
  const { code, stderr } = await kubectl(['get', '--raw', HELLO], { deadlineMs })
  if (code !== 0) throw new Error(`the pod did not answer: ${stderr.trim()}`)
  return performance.now() - started
}
