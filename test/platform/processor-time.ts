/** What work has cost this thread of the processor: milliseconds. What a machine does beside it is none of that. */
export function processorMs(work: () => unknown): number {
  const before = process.threadCpuUsage()
  work()
  const { user, system } = process.threadCpuUsage(before)
  return (user + system) / 1_000
}
