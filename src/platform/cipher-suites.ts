/**
 * `--cipher-suites` by the names of Go's crypto/tls, and what they make of a TLS port. Only suites that Go's tls.CipherSuites()
 * lists are there; those that Go calls insecure have no name here.
 *
 * As in Go the order of the names means nothing. A list without a suite of TLS 1.3 leaves those as they are; unlike in Go one
 * with some of them allows only these. A list with none of TLS 1.2 means that TLS 1.2 is not spoken.
 */
import { minTlsVersion, type TlsVersionName } from './tls-version.ts'

/** For `tls.createServer` and `tls.connect`. */
export type TlsProtocol = { readonly minVersion: 'TLSv1.2' | 'TLSv1.3'; readonly ciphers: string }

/** In the order of preference. OpenSSL has the names of RFC 8446 for these, as Go has. AES-128 is the fastest in hardware. */
const TLS13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']

/** OpenSSL's names by Go's, in the order of preference. */
const TLS12: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 'ECDHE-ECDSA-AES128-GCM-SHA256',
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 'ECDHE-RSA-AES128-GCM-SHA256',
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 'ECDHE-ECDSA-AES256-GCM-SHA384',
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 'ECDHE-RSA-AES256-GCM-SHA384',
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-ECDSA-CHACHA20-POLY1305',
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 'ECDHE-RSA-CHACHA20-POLY1305',
}
/** Without authenticated encryption: spoken only where they are named. */
const TLS12_CBC: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 'ECDHE-ECDSA-AES128-SHA',
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 'ECDHE-RSA-AES128-SHA',
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 'ECDHE-ECDSA-AES256-SHA',
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 'ECDHE-RSA-AES256-SHA',
}

export const cipherSuiteNames = [...TLS13, ...Object.keys(TLS12), ...Object.keys(TLS12_CBC)]

/** In konnectivity's words; undefined when all names are known. */
export function cipherSuiteProblem(names: readonly string[]): string | undefined {
  const unknown = names.find((name) => !cipherSuiteNames.includes(name))
  return unknown === undefined
    ? undefined
    : `cipher suite ${unknown} not supported, doesn't exist or considered as insecure`
}

/** @param cipherSuites names that `cipherSuiteProblem` has no objection to; none: all but those with CBC */
export function tlsProtocol(tlsMinVersion: TlsVersionName, cipherSuites: readonly string[]): TlsProtocol {
  const named12 = Object.entries({ ...TLS12, ...TLS12_CBC }).filter(([name]) => cipherSuites.includes(name))
  const named13 = TLS13.filter((name) => cipherSuites.includes(name))
  const suites13 = named13.length > 0 ? named13 : TLS13
  const suites12 = cipherSuites.length > 0 ? named12.map(([, openSslName]) => openSslName) : Object.values(TLS12)
  return {
    minVersion: suites12.length > 0 ? minTlsVersion(tlsMinVersion) : 'TLSv1.3',
    ciphers: [...suites13, ...suites12].join(':'),
  }
}
