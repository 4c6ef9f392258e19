/** What a server's response headers say: who it is and what it takes, or why it does not take us. Pure. */

export type ServerAnswer =
  | {
      readonly kind: 'taken'
      readonly serverId: string
      readonly serverCount: number
      readonly extensions: string | undefined
    }
  | { readonly kind: 'refused'; readonly text: string }

/** Longest text of a server that is shown: characters. */
const MAX_TEXT_CHARS = 300
/** As Go's strconv.Atoi takes it; Number() alone would take nothing, blanks and hexadecimal too. */
const WHOLE_NUMBER = /^[+-]?\d+$/

/** @param rawHeaders names and values in turn, as node:http2 gives them */
export function readServerAnswer(rawHeaders: readonly string[], extensionsKey: string): ServerAnswer {
  const status = valuesOf(rawHeaders, ':status')[0]
  const grpcStatus = valuesOf(rawHeaders, 'grpc-status')[0]
  if (grpcStatus !== undefined) return refused(statusText(grpcStatus, valuesOf(rawHeaders, 'grpc-message')[0]))
  if (status !== '200') return refused(`the server answered with HTTP status ${status ?? 'none'}`)
  const ids = valuesOf(rawHeaders, 'serverid')
  const counts = valuesOf(rawHeaders, 'servercount')
  const [serverId] = ids
  if (ids.length !== 1 || serverId === undefined)
    return refused(`expected one server ID in the context, got [${ids.join(' ')}]`)
  const serverCount = WHOLE_NUMBER.test(counts[0] ?? '') ? Number(counts[0]) : Number.NaN
  if (counts.length !== 1 || !Number.isSafeInteger(serverCount)) {
    return refused(`expected one server count, got [${counts.join(' ')}]`)
  }
  return { kind: 'taken', serverId, serverCount, extensions: valuesOf(rawHeaders, extensionsKey)[0] }
}

/** A gRPC status as people read it. */
export function statusText(code: string, message: string | undefined): string {
  return `gRPC status ${code}${message === undefined ? '' : `: ${percentDecode(message)}`}`.slice(0, MAX_TEXT_CHARS)
}

function percentDecode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text // not in percent form after all: shown as it is
  }
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name)
}

const refused = (text: string): ServerAnswer => ({ kind: 'refused', text: text.slice(0, MAX_TEXT_CHARS) })
