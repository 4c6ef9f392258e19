/**
 * `--cipher-suites` by the names of Go's crypto/tls, and what OpenSSL calls them. Only suites that Go's tls.CipherSuites()
 * lists are there: those of TLS 1.3, and of TLS 1.2 the ones with an ephemeral key exchange and authenticated encryption or,
 * because that list has them, CBC with SHA-1.
 */

const TLS12: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
}
/** OpenSSL has the names of RFC 8446 for these, as Go has. */
const TLS13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']

/** In konnectivity's words; undefined when all names are known. */
export function cipherSuiteProblem(names: readonly string[]): string | undefined {
  const unknown = names.find((name) => !Object.hasOwn(TLS12, name) && !TLS13.includes(name))
  return unknown === undefined
    ? undefined
    : `cipher suite ${unknown} not supported, doesn't exist or considered as insecure`
}
