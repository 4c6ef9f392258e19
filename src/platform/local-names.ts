/**
 * By which names a port on a loopback address may be called. Pure.
 *
 * A page in a browser on this machine can have its own name resolved to 127.0.0.1 and then read what listens there (DNS
 * rebinding); its requests carry that name. So a port that only this machine can reach is not answered under foreign names.
 * A port that was opened to others on purpose is called by whatever name they have for it.
 */
import { isIP } from 'node:net'
import { ipBytes } from './ip-address.ts'

/** @param bindAddress where the port listens; empty for all addresses */
export function localNames(bindAddress: string): (hostname: string) => boolean {
  if (isIP(bindAddress) === 0 ? bindAddress === '' : !isLoopback(bindAddress)) return () => true // what a name leads to is not known here
  const bound = bindAddress.toLowerCase()
  return (hostname) => {
    const name = hostname.replace(/\.$/, '')
    if (isLocalName(name) || name === bound) return true
    return isIP(hostname.replace(/^\[|\]$/g, '')) !== 0
  }
}

/** Whether only this machine reaches what listens there. Of other names than `localhost` nobody knows where they will lead. */
export function isLocal(bindAddress: string): boolean {
  return isIP(bindAddress) === 0 ? isLocalName(bindAddress.toLowerCase()) : isLoopback(bindAddress)
}

/** RFC 6761 section 6.3. */
const isLocalName = (name: string): boolean => name === 'localhost' || name.endsWith('.localhost')

/** RFC 5735 section 3 and RFC 4291 section 2.5.3. */
function isLoopback(address: string): boolean {
  const bytes = ipBytes(address)
  return bytes?.length === 4 ? bytes[0] === 127 : bytes?.every((byte, index) => byte === Number(index === 15)) === true
}
