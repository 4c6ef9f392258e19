/** Where a server is: `host`, `host:port`, `[IPv6 address]:port` or a bare IPv6 address. Pure. */
import { ipBytes } from './ip-address.ts'

export type ServerAddress = { readonly host: string; readonly port: number }

const MAX_PORT = 65_535

/** @param port for an address without its own. Undefined: it is no address */
export function readServerAddress(given: string, port: number): ServerAddress | undefined {
  const isBare = given.includes(':') && ipBytes(given) !== undefined
  const [, bracketed, name, own] = isBare ? [] : (/^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(given) ?? [])
  const host = isBare ? given : (bracketed ?? name ?? '')
  const isIp = ipBytes(host) !== undefined && (bracketed === undefined || host.includes(':'))
  const isName = bracketed === undefined && /^[\w.-]+$/.test(host) && URL.canParse(`https://${host}`)
  if (!isIp && !isName) return undefined
  const used = own === undefined ? port : Number(own)
  return own !== undefined && (used < 1 || used > MAX_PORT) ? undefined : { host, port: used }
}
