/**
 * The hub's policy where workers serve: this process follows its file as they do, so as to know what is in force. A worker that takes
 * the place of another one begins with that when the file is broken by then. What is wrong with it they say.
 */
import type { Clock } from '../platform/clock.ts'
import { type FileText, watchTexts } from '../platform/watched.ts'
import { loadPolicy, MAX_POLICY_BYTES } from '../policy/policy.ts'
import type { ServerOptions } from './options.ts'

/** Between two looks at the policy: milliseconds. As the workers'. */
const LOOK_MS = 5_000

export type WorkerPolicy = Disposable & { readonly inUse: () => readonly FileText[] }

/** @returns undefined without a policy @throws TunnelError `bad-option` with every problem of the file, one per line */
export function watchWorkerPolicy(
  { agentPolicyFile }: Pick<ServerOptions, 'agentPolicyFile'>,
  clock: Clock,
): WorkerPolicy | undefined {
  if (agentPolicyFile === '') return undefined
  const watch = watchTexts<readonly FileText[]>(
    { flag: '--agent-policy-file', path: agentPolicyFile, maxBytes: MAX_POLICY_BYTES },
    (files) => {
      const policy = loadPolicy(files, 'hub')
      return policy.ok ? { ok: true, value: files } : policy
    },
    { clock, intervalMs: LOOK_MS, changed: () => undefined, broken: () => undefined, mended: () => undefined },
  )
  return { inUse: watch.current, [Symbol.dispose]: () => watch[Symbol.dispose]() }
}
