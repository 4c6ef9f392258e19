import { NoAnswer } from './control.ts'

/** What `work` gives. @throws NoAnswer naming `what` when that takes over `deadlineMs` */
export async function within<T>(deadlineMs: number, what: string, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new NoAnswer(`${what}: no answer after ${deadlineMs} ms`)), deadlineMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
