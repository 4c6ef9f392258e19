/** What Node says of a peer whose bytes are no HTTP/2, as far as any is meant. */

/**
 * nghttp2's word for bytes that make no sense, and Node's for frames that say nothing, by the thousand. A connection that the peer
 * breaks has other codes.
 */
const NO_HTTP2: ReadonlySet<string> = new Set(['ERR_HTTP2_ERROR', 'ERR_HTTP2_TOO_MANY_INVALID_FRAMES'])

export const isNoHttp2 = (error: NodeJS.ErrnoException): boolean => NO_HTTP2.has(error.code ?? '')
