/**
 * The CA by which a hub gives agents their certificates: watched like all TLS files, and used only as long as the agent port
 * trusts it, so that nobody is given what nobody takes.
 */
import { type KeyObject, X509Certificate } from 'node:crypto'
import type { Authority } from '../pki/authority.ts'
import { signingKey } from '../pki/certificate.ts'
import { chainTo } from '../pki/chain.ts'
import { writeAuthorities } from '../pki/enrolment-wire.ts'
import { type Identity, readTrustDomain } from '../pki/identity.ts'
import { issueLeafFor } from '../pki/leaf.ts'
import { splitCertificates } from '../pki/pem.ts'
import type { Clock } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { watchTlsFiles } from '../platform/tls-files.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { ServerOptions } from './options.ts'

/** Between two looks at the CA's files: milliseconds. */
const LOOK_MS = 5_000

export type Issuer = Disposable & {
  readonly authority: () => Authority
  /** The line by which agents may know the hub. */
  readonly hello: () => string
  /**
   * @param key of the holder
   * @throws TunnelError `bad-option` when the CA is no longer trusted, or is over
   */
  readonly issue: (identity: Identity, key: KeyObject, more?: { readonly family?: string }) => Promise<string>
}

export type IssuerOptions = Pick<
  ServerOptions,
  'enrolmentCaCert' | 'enrolmentCaKey' | 'enrolmentLifetimeMs' | 'trustDomain'
>

export type IssuerDeps = {
  readonly clock: Clock
  readonly log: Log
  /** Of the agent port. */
  readonly material: () => TlsMaterial
}

/** @throws TunnelError `bad-option` with every mistake in the files, one per line */
export function openIssuer(options: IssuerOptions, { clock, log, material }: IssuerDeps): Issuer {
  const files = {
    cert: { flag: '--enrolment-ca-cert', path: options.enrolmentCaCert },
    key: { flag: '--enrolment-ca-key', path: options.enrolmentCaKey },
  }
  const watch = watchTlsFiles(files, {
    clock,
    intervalMs: LOOK_MS,
    changed(changed) {
      const before = authority.certificatePem
      try {
        use(changed)
        if (authority.certificatePem === before) return // another CA was put behind it
        log.info({}, 'the CA of enrolment changed, new certificates are of it')
      } catch (error) {
        log.error(
          { reason: (error as Error).message },
          'the CA of enrolment cannot be used, the one before stays in use',
        )
      }
    },
    broken: (error) =>
      log.error({ reason: error.message }, 'the CA of enrolment is broken, the one before stays in use'),
    mended: () => log.info({}, 'the CA of enrolment is good again'),
  })
  let authority: Authority
  let inUse: TlsMaterial
  function use(files: TlsMaterial): void {
    authority = authorityOf(files, options, material())
    inUse = files
  }
  try {
    use(watch.current())
  } catch (error) {
    watch[Symbol.dispose]()
    throw error
  }
  let trusted = material().ca
  let greeting: { readonly material: TlsMaterial; readonly authority: Authority; readonly line: string } | undefined

  return {
    authority: () => authority,
    hello() {
      const now = material()
      if (greeting?.material !== now || greeting.authority !== authority) {
        greeting = { material: now, authority, line: writeAuthorities(authoritiesOf(now, authority)) }
      }
      return greeting.line
    },
    async issue(identity, key, more = {}) {
      const { ca } = material()
      if (ca !== trusted) {
        try {
          use(watch.current()) // which may have waited for this bundle
        } catch {
          use(inUse)
        }
        trusted = ca
      }
      const { enrolmentLifetimeMs: lifetimeMs } = options
      return issueLeafFor(authority, { identity, lifetimeMs, nowUnixMs: clock.unixMs(), ...more }, key)
    },
    [Symbol.dispose]: watch[Symbol.dispose],
  }
}

/**
 * What an agent may know the hub by: the CA that issues, and those above the server's own certificate. The others of the bundle, perhaps
 * one for each cluster, are nothing for whoever asks.
 */
function authoritiesOf({ ca = '', cert = '' }: TlsMaterial, { certificatePem }: Authority): string {
  const [leaf, ...brought] = splitCertificates(cert).map((pem) => new X509Certificate(pem))
  const bundle = splitCertificates(ca).map((pem) => new X509Certificate(pem))
  const [, ...above] = (leaf && chainTo(leaf, bundle, brought)) ?? []
  const shown = [...splitCertificates(certificatePem), ...[...above, ...brought].map(String)].map((pem) => pem.trim())
  return [...new Set(shown)].join('\n')
}

function authorityOf({ cert = '', key = '' }: TlsMaterial, options: IssuerOptions, agentPort: TlsMaterial): Authority {
  const flag = '--enrolment-ca-cert'
  const [pem = ''] = splitCertificates(cert)
  const certificate = new X509Certificate(pem)
  const problem = (text: string): TunnelError =>
    new TunnelError('bad-option', `${flag}: ${options.enrolmentCaCert} ${text}`)
  if (!certificate.ca) throw problem('is not the certificate of a CA')
  const trusted = splitCertificates(agentPort.ca ?? '').map((one) => new X509Certificate(one).fingerprint256)
  if (!trusted.includes(certificate.fingerprint256)) {
    throw problem('is not in --cluster-ca-cert: nobody with a certificate of it would be let in')
  }
  const named = readTrustDomain(certificate.subjectAltName)
  const trustDomain = named ?? options.trustDomain
  if (trustDomain === '') throw problem('names no trust domain: give it by --trust-domain')
  if (options.trustDomain !== '' && options.trustDomain !== trustDomain) {
    throw problem(`is of the trust domain ${trustDomain}, --trust-domain is ${options.trustDomain}`)
  }
  signingKey(key) // which only a P-256 key can be
  return { trustDomain, certificatePem: certificate.toString(), keyPem: key }
}
