/** How long certificates in use are still good. */
import { X509Certificate } from 'node:crypto'

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/**
 * Seconds until the first certificate of each text expires, whether leaf, intermediate or CA; negative afterwards. Those that
 * are not in use are left out.
 */
export function certificateSeconds(
  pems: Readonly<Record<string, string | undefined>>,
  unixMs: number,
): Record<string, number> {
  const seconds: Record<string, number> = {}
  for (const [name, pem] of Object.entries(pems)) {
    const ends = pem?.match(CERTIFICATE)?.map((block) => new X509Certificate(block).validToDate.getTime()) ?? []
    if (ends.length > 0) seconds[name] = Math.floor((Math.min(...ends) - unixMs) / 1000)
  }
  return seconds
}
