/** `culvert pki revoke`: takes certificates back. */
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '../../platform/command-line.ts'
import { TunnelError } from '../../platform/errors.ts'
import type { Authority } from '../authority.ts'
import { familyOf } from '../family.ts'
import { LIST_LIFETIME, parseLifetime } from '../lifetime.ts'
import { readCertificates } from '../pem.ts'
import { readAuthority } from '../store.ts'
import { identityText, summarize } from '../summary.ts'
import { AUTHORITY_FOLDER, folderFlag, lifetimeFlag, trustDomainFlag } from './flags.ts'

export const revoke: Command = {
  usage: 'revoke <certificate file|serial number>... [flags]',
  summary: 'Take certificates back.',
  about: [
    "Adds them to crl.pem, the revocation list beside the CA's certificate, and signs it anew. A proxy-server that is given",
    'the list (--cluster-crl-file, --server-crl-file) refuses them from then on and hangs up on who is connected with one.',
    'All that came of one certificate by renewal is one family and goes together, whichever file of it is named; by a serial',
    'number that is so for the number of the first. What is revoked cannot be given back: issue another one.',
  ],
  flags: {
    dir: folderFlag,
    lifetime: {
      ...lifetimeFlag(LIST_LIFETIME),
      help: 'How long the list is valid; sign it anew before (culvert pki crl).',
    },
    'trust-domain': trustDomainFlag('Of a CA that was not made by culvert and names none.'),
  },
  examples: ['culvert pki revoke agent-eu-1/eu-1-a.crt', 'culvert pki revoke 3f:9a:00:17:c4 --dir /etc/culvert/pki'],
  run: async (given, problems, nowUnixMs) => {
    const found = given.words.length === 0 ? [...problems, 'name the certificate files or serial numbers'] : problems
    const lifetimeMs = parseLifetime(given.value('lifetime') ?? '')
    if (found.length > 0 || lifetimeMs === undefined) return { kind: 'refused', problems: found }
    const folder = given.value('dir') ?? AUTHORITY_FOLDER
    const authority = readAuthority(folder, given.value('trust-domain'))
    const { LIST_NAME, plainSerial, readList, updateList } = await import('../revocation-list.ts') // slow to load
    const named = given.words.map((word) => {
      if (existsSync(word)) return ofFile(word, authority, nowUnixMs, plainSerial)
      const serial = plainSerial(word)
      if (serial === undefined) {
        throw new TunnelError('bad-option', `${word}: is neither a certificate file nor a serial number in hexadecimal`)
      }
      return { numbers: [serial], who: `serial number ${serial}` }
    })
    const before = new Set(readList(folder, authority)?.revoked.map(({ serialNumber }) => serialNumber))
    const serials = named.flatMap(({ numbers }) => numbers)
    const list = await updateList(folder, authority, { serials, lifetimeMs, nowUnixMs })
    return {
      kind: 'done',
      lines: [
        ...named.map(
          ({ numbers, who }) =>
            `${numbers.every((one) => before.has(one)) ? 'Was revoked before' : 'Revoked'}: ${who}.`,
        ),
        `  ${join(folder, LIST_NAME)}  ${list.revoked.length} revoked, valid until ${list.nextUpdate?.toISOString().slice(0, 10)}`,
      ],
    }
  },
}

function ofFile(
  file: string,
  authority: Authority,
  nowUnixMs: number,
  plainSerial: (text: string) => string | undefined,
): { numbers: readonly string[]; who: string } {
  const [certificate] = readCertificates(file)
  const issuer = new X509Certificate(authority.certificatePem)
  if (certificate.fingerprint256 === issuer.fingerprint256) {
    throw new TunnelError(
      'bad-option',
      `${file}: is the CA itself, which nothing but taking it out of the bundles revokes`,
    )
  }
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) {
    throw new TunnelError(
      'bad-option',
      `${file}: was not issued by this CA, which cannot revoke it: name its CA by --dir`,
    )
  }
  const { identity, subject } = summarize(certificate, nowUnixMs, authority.trustDomain)
  const serial = certificate.serialNumber.toLowerCase()
  const family = plainSerial(familyOf(certificate)) ?? serial
  const more = family === serial ? '' : `, and all of its family, ${family}`
  const who = identity.role === 'none' ? subject : identityText(identity)
  return { numbers: [...new Set([serial, family])], who: `${who}, serial number ${serial}${more}` }
}
