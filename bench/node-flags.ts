/**
 * How Node runs what makes load and takes it. With its collector's defaults a generator spends up to a fifth of its time on buffers
 * outside the heap; that is time which both peers then lack, and every ratio is pulled towards 1. The flags of V8 are those that
 * `bin/launch.sh` gives to the programs.
 */
export const NODE_FLAGS: readonly string[] = [
  '--max-semi-space-size=32',
  '--external-memory-accounted-in-global-limit',
  '--initial-old-space-size=96',
]
