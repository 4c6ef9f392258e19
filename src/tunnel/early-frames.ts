/**
 * Frames of one connection that came before their turn: over the carrier to which the peer moves it, while the MOVE that says
 * so is still under way on another one. They are kept, and come out in the order in which the peer sent them. Pure.
 * Source: docs/protocol.md section 10.
 */

/** Frames kept for one connection; their bytes are bounded by credit. */
const MAX_EARLY_FRAMES = 16_384

/** `W`: the way by which a frame comes. */
export type EarlyFrame<W> =
  | { readonly from: W; readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly from: W; readonly kind: 'end'; readonly close: boolean }
  | { readonly from: W; readonly kind: 'move'; readonly to: W }

/** @returns false when the peer has sent more of them than it may */
export function keepEarly<W>(frames: EarlyFrame<W>[], frame: EarlyFrame<W>): boolean {
  frames.push(frame)
  return frames.length <= MAX_EARLY_FRAMES
}

/** Takes out the next frame of this way. */
export function takeEarly<W>(frames: EarlyFrame<W>[], way: W): EarlyFrame<W> | undefined {
  const index = frames.findIndex(({ from }) => from === way)
  return index < 0 ? undefined : frames.splice(index, 1)[0]
}

/** The frame that came last this way, of those that wait. */
export const lastEarly = <W>(frames: readonly EarlyFrame<W>[], way: W): EarlyFrame<W> | undefined =>
  frames.findLast(({ from }) => from === way)

/** Whether one of the frames came this way, or announces that others will. */
export const earlyUses = <W>(frames: readonly EarlyFrame<W>[], way: W): boolean =>
  frames.some((frame) => frame.from === way || (frame.kind === 'move' && frame.to === way))
