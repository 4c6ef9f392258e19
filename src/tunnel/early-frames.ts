/**
 * Frames of one connection that came before their turn: over the carrier to which the peer moves it, while the MOVE that says
 * so is still under way on another one. They are kept, and come out in the order in which the peer sent them. Pure.
 * Source: docs/protocol.md section 10.
 */

/** Frames kept for one connection; their bytes are bounded by credit. */
const MAX_EARLY_FRAMES = 65_536
/** What one takes besides its payload, which may be a single byte: bytes, measured as 508. */
export const EARLY_FRAME_BYTES = 512

/** `W`: the way by which a frame comes. */
export type EarlyFrame<W> =
  | { readonly from: W; readonly kind: 'data'; readonly bytes: Uint8Array }
  | { readonly from: W; readonly kind: 'end'; readonly close: boolean; readonly reason: string }
  | { readonly from: W; readonly kind: 'move'; readonly to: W }

/** In order, by the way on which they came; taking one is as cheap as keeping one, however many wait. */
export type EarlyFrames<W> = { count: number; readonly byWay: Map<W, Line<W>> }
type Line<W> = { first: Place<W>; last: Place<W> }
type Place<W> = { readonly frame: EarlyFrame<W>; next: Place<W> | undefined }

export const createEarlyFrames = <W>(): EarlyFrames<W> => ({ count: 0, byWay: new Map() })

/** @returns false when the peer has sent more of them than it may */
export function keepEarly<W>(frames: EarlyFrames<W>, frame: EarlyFrame<W>): boolean {
  const place: Place<W> = { frame, next: undefined }
  const line = frames.byWay.get(frame.from)
  if (line) {
    line.last.next = place
    line.last = place
  } else frames.byWay.set(frame.from, { first: place, last: place })
  frames.count++
  return frames.count <= MAX_EARLY_FRAMES
}

/** Takes out the next frame of this way. */
export function takeEarly<W>(frames: EarlyFrames<W>, way: W): EarlyFrame<W> | undefined {
  const line = frames.byWay.get(way)
  if (!line) return undefined
  const { frame, next } = line.first
  frames.count--
  if (next) line.first = next
  else frames.byWay.delete(way)
  return frame
}

/** What a frame that is kept counts for: bytes. A character may take two. */
export function earlyCost(frame: EarlyFrame<unknown>): number {
  if (frame.kind === 'data') return EARLY_FRAME_BYTES + frame.bytes.length
  return EARLY_FRAME_BYTES + (frame.kind === 'end' ? 2 * frame.reason.length : 0)
}

/** The frame that came last this way, of those that wait. */
export const lastEarly = <W>(frames: EarlyFrames<W>, way: W): EarlyFrame<W> | undefined =>
  frames.byWay.get(way)?.last.frame

/** Whether one of the frames came this way, or announces that others will. */
export function earlyUses<W>(frames: EarlyFrames<W>, way: W): boolean {
  if (frames.byWay.has(way)) return true
  for (const { first } of frames.byWay.values()) {
    for (let place: Place<W> | undefined = first; place; place = place.next) {
      if (place.frame.kind === 'move' && place.frame.to === way) return true
    }
  }
  return false
}
