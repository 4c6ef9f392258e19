/** `--tls-min-version` in the names of Go's crypto/tls. */

/** Less than TLS 1.2 is never spoken: the two older names are accepted, because command lines have them, and mean 1.2. */
const VERSIONS = {
  '': 'TLSv1.2',
  VersionTLS10: 'TLSv1.2',
  VersionTLS11: 'TLSv1.2',
  VersionTLS12: 'TLSv1.2',
  VersionTLS13: 'TLSv1.3',
} as const

export type TlsVersionName = keyof typeof VERSIONS
export const tlsVersionNames = Object.keys(VERSIONS) as TlsVersionName[]

/** In konnectivity's words. */
export function tlsVersionRefusal(given: string): string {
  const known = tlsVersionNames.filter((name) => name !== '').join(', ')
  return `unsupported TLS version ${JSON.stringify(given)}, supported values are: ${known}`
}

export function minTlsVersion(name: TlsVersionName): 'TLSv1.2' | 'TLSv1.3' {
  return VERSIONS[name]
}

/** What an operator should know about the name that was given. */
export function tlsVersionWarning(name: TlsVersionName): string | undefined {
  if (name !== 'VersionTLS10' && name !== 'VersionTLS11') return undefined
  return `--tls-min-version=${name} means TLS 1.2 here: older versions are not spoken`
}
