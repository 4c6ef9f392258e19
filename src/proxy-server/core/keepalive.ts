/** What `--frontend-keepalive-time` means, as in grpc-go (keepalive.ServerParameters): 0 is two hours, and a second the least. Pure. */

const DEFAULT_MS = 7_200_000
const MIN_MS = 1_000

/** Milliseconds between two PINGs to a client. */
export function keepaliveMs(given: number): number {
  return given === 0 ? DEFAULT_MS : Math.max(given, MIN_MS)
}
