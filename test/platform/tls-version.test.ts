import t from 'tap'
import { minTlsVersion, tlsVersionNames, tlsVersionWarning } from '../../src/platform/tls-version.ts'

t.test('never means less than TLS 1.2, and warns where more was meant', async (t) => {
  t.strictSame(
    tlsVersionNames.map((name) => [name, minTlsVersion(name), tlsVersionWarning(name) !== undefined]),
    [
      ['', 'TLSv1.2', false],
      ['VersionTLS10', 'TLSv1.2', true],
      ['VersionTLS11', 'TLSv1.2', true],
      ['VersionTLS12', 'TLSv1.2', false],
      ['VersionTLS13', 'TLSv1.3', false],
    ],
  )
})
