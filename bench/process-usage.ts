/** What the kernel says of a process. Source: proc(5). */
import { readdir, readFile } from 'node:fs/promises'

const KIB = 1024
/** USER_HZ: the same on every Linux that Node runs on. */
const MS_PER_TICK = 10

/** Resident bytes of a process, less those it has already given back (MADV_FREE) and the kernel has not yet taken. */
export async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0)
  return (field('Rss') - field('LazyFree')) * KIB
}

/**
 * Processor time that a process has used so far, with that of the processes it has started and still has: workers. Milliseconds.
 *
 * @throws Error with code ENOENT when it is gone
 */
export async function processorMs(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ') // the name before may hold anything
  const [user, system] = [fields[11], fields[12]]
  const children = await childrenOf(pid)
  const ofChildren = await Promise.all(children.map((child) => processorMs(child).catch(ifGone(0))))
  return (Number(user) + Number(system)) * MS_PER_TICK + ofChildren.reduce((sum, ms) => sum + ms, 0)
}

async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`)
  const lists = threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(ifGone('')))
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number))
}

/** A child or a thread may have ended since it was listed. */
const ifGone =
  <T>(instead: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code !== 'ENOENT' && error.code !== 'ESRCH') throw error
    return instead
  }

/** Of each process. A process that is watched over a window is asked before and after it. */
export function processorMsOf(pids: readonly number[]): Promise<number[]> {
  return Promise.all(pids.map(processorMs))
}

/** What each has used since. */
export async function usedSince(before: readonly number[], pids: readonly number[]): Promise<number[]> {
  const after = await processorMsOf(pids)
  return after.map((ms, index) => ms - before[index]!)
}
