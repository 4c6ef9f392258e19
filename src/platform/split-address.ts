/** host:port taken apart, with the words of Go's net.SplitHostPort for what is none. Pure. */
export type SplitAddress =
  | { readonly kind: 'host and port'; readonly host: string; readonly port: string; readonly isBracketed: boolean }
  | { readonly kind: 'none'; readonly why: string }

export function splitAddress(address: string): SplitAddress {
  const colon = address.lastIndexOf(':') // the port is behind the last one
  if (colon === -1) return none('missing port in address')
  const isBracketed = address.startsWith('[')
  const end = address.indexOf(']')
  if (isBracketed && end === -1) return none("missing ']' in address")
  if (isBracketed && end + 1 !== colon) {
    return none(address[end + 1] === ':' ? 'too many colons in address' : 'missing port in address')
  }
  const host = isBracketed ? address.slice(1, end) : address.slice(0, colon)
  if (!isBracketed && host.includes(':')) return none('too many colons in address')
  const port = address.slice(colon + 1)
  if (`${host}${port}`.includes('[')) return none("unexpected '[' in address")
  if (`${host}${port}`.includes(']')) return none("unexpected ']' in address")
  return { kind: 'host and port', host, port, isBracketed }
}

function none(why: string): SplitAddress {
  return { kind: 'none', why }
}
