/** How long certificates in use are still good. */
import { X509Certificate } from 'node:crypto'

/** Seconds until each certificate expires, negative afterwards; those that are not in use are left out. */
export function certificateSeconds(
  pems: Readonly<Record<string, string | undefined>>,
  unixMs: number,
): Record<string, number> {
  const seconds: Record<string, number> = {}
  for (const [name, pem] of Object.entries(pems)) {
    if (pem !== undefined) seconds[name] = Math.floor((new X509Certificate(pem).validToDate.getTime() - unixMs) / 1000)
  }
  return seconds
}
