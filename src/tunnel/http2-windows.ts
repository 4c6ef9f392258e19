/**
 * How far HTTP/2 lets a peer send ahead. What it may send is limited by our own credit; these windows only must not be narrower
 * than the path. nghttp2 opens a window again when half of it was read, and what came just past that half waits for the next
 * time: so half a window is what a sender has under way in the long run. Source: docs/adr/0021-wide-windows-on-long-paths.md.
 */
import { isLong, type PathLength } from './path-length.ts'

/** The default of 64 KiB would be the limit of any path: bytes. */
export const STREAM_WINDOW_BYTES = 4 * 1024 * 1024
export const SESSION_WINDOW_BYTES = 16 * 1024 * 1024
/** 2 MiB a round trip, 40 MB/s over 50 ms, would be less than one TCP connection carries with the buffers it has by default. */
export const LONG_PATH_STREAM_WINDOW_BYTES = 16 * 1024 * 1024
export const LONG_PATH_SESSION_WINDOW_BYTES = 32 * 1024 * 1024

/** An HTTP/2 connection, as either end has it. */
export type Http2Windows = {
  readonly destroyed: boolean
  readonly settings: (settings: { readonly initialWindowSize: number }) => void
  readonly setLocalWindowSize: (bytes: number) => void
}

/** Opens the window of the whole connection. One may be destroyed before it hears that it is connected, and Node throws then. */
export function openSessionWindow(http: Http2Windows): void {
  if (!http.destroyed) http.setLocalWindowSize(SESSION_WINDOW_BYTES)
}

/**
 * Returns a function that takes what is known of the path at each round trip, and opens the windows wide, once, when it proves
 * long. For peers who keep to our credit: what we do not read of a stock one stands in these windows, so its own stay.
 */
export function createWindowOpener(http: Http2Windows): (path: PathLength) => void {
  let open = false
  return (path) => {
    if (open || http.destroyed || !isLong(path)) return
    open = true
    http.settings({ initialWindowSize: LONG_PATH_STREAM_WINDOW_BYTES })
    http.setLocalWindowSize(LONG_PATH_SESSION_WINDOW_BYTES)
  }
}
