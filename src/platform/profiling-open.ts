/** Profiling as the flags of a program ask for it. What takes the profiles is loaded only then. */
import type { Clock } from './clock.ts'
import type { Profiling } from './profiling.ts'

export type ProfilingFlags = { readonly enableProfiling: boolean; readonly enableContentionProfiling: boolean }

/** @param stop profiles under way are answered early, new ones refused. @returns undefined when nobody has asked for it */
export async function openProfiling(
  { enableProfiling, enableContentionProfiling }: ProfilingFlags,
  clock: Clock,
  stop: AbortSignal,
): Promise<Profiling | undefined> {
  if (!enableProfiling) return undefined
  const { startProfiling } = await import('./profiling.ts')
  return startProfiling({ clock, stop, contention: enableContentionProfiling })
}
