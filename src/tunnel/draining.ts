/**
 * How a session comes to its end in order: DRAIN is said once, and it has drained when the peer has seen that and nothing is left.
 * Pure; the session says what is left. Source: docs/protocol.md section 7.
 */
export type DrainingDeps = {
  /** Says DRAIN to the peer, and calls back when the peer has read it. */
  readonly say: (seen: () => void) => void
  /** Whether dials or connections are left. */
  readonly busy: () => boolean
  /** Once. */
  readonly drained: () => void
}

export type Draining = {
  readonly begin: () => void
  /** Something has ended. */
  readonly look: () => void
}

export function createDraining({ say, busy, drained }: DrainingDeps): Draining {
  let state: 'no' | 'asked' | 'seen' | 'done' = 'no'

  function look(): void {
    if (state !== 'seen' || busy()) return
    state = 'done'
    drained()
  }

  function seen(): void {
    if (state !== 'asked') return
    state = 'seen'
    look()
  }

  return {
    begin() {
      if (state !== 'no') return
      state = 'asked'
      say(seen)
    },
    look,
  }
}
