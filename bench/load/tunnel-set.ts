/** The tunnels of one measurement: opened together, closed together, and the first that breaks fails the measurement. */
import { type Frontend, openTunnel, type Tunnel } from './tunnel.ts'

export type Where = { readonly frontend: Frontend; readonly target: string }
/** Processes whose processor time within the window is part of the result, in their order. */
export type Watching = { readonly watched?: readonly number[] }
export type TunnelSet = Disposable & {
  /** @param receive as TunnelUser has it */
  readonly open: (where: Where, receive: (bytes: Uint8Array, length: number) => boolean) => Promise<Tunnel>
  /** What `work` gives, unless a tunnel of the set breaks first. */
  readonly unlessBroken: <T>(work: Promise<T>) => Promise<T>
  readonly fail: (error: Error) => void
  /** The first failure so far. */
  readonly failure: () => Error | undefined
}

/** Longest wait for a tunnel to open, and for an exchange to be answered. */
export const ANSWER_DEADLINE_MS = 10_000

export function tunnelSet(deadlineMs: number = ANSWER_DEADLINE_MS): TunnelSet {
  const tunnels: Tunnel[] = []
  let failure: Error | undefined
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => undefined) // a tunnel may break when nobody waits any more
  const fail = (error: Error): void => {
    failure ??= error
    broken.reject(error)
  }
  return {
    open: async ({ frontend, target }, receive) => {
      const tunnel = await openTunnel(frontend, target, deadlineMs, { receive, broken: fail })
      tunnels.push(tunnel)
      return tunnel
    },
    unlessBroken: (work) => Promise.race([work, broken.promise]),
    fail,
    failure: () => failure,
    [Symbol.dispose]: () => {
      for (const tunnel of tunnels) tunnel.close()
    },
  }
}
