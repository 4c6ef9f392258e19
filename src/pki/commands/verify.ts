/** `culvert pki verify`: whether a certificate will be accepted. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from '../../platform/command-line.ts'
import { checkLeaf } from '../check.ts'
import { isIdentityName, ROLES, type Role, readTrustDomain } from '../identity.ts'
import { readCertificates, readPrivateKey } from '../pem.ts'
import { AUTHORITY_NAME } from '../store.ts'
import { identityText, summarize } from '../summary.ts'
import { clusterFlag, outputFlag, trustDomainFlag } from './flags.ts'

export const verify: Command = {
  usage: 'verify <file> [flags]',
  summary: 'Check a certificate against its CA, its key and what it should be.',
  about: [
    'Checks that the CA issued it, that both are in time, that the key belongs to it, and that its identity is well-formed and',
    'the expected one. Every cause for a refusal is reported; the exit code is then 1. The first certificate of the file counts, those',
    'behind it are the intermediate CAs above it.',
  ],
  flags: {
    ca: {
      takes: 'file',
      help: 'Certificate of the CA, or a bundle of several (default ca.crt beside the certificate).',
    },
    key: { takes: 'file', help: "The certificate's key (default the .key file of the same name, if there is one)." },
    role: {
      takes: 'role',
      help: `Expected role: ${ROLES.join(', ')}.`,
      problem: (text) => (isRole(text) ? undefined : `one of ${ROLES.join(', ')}`),
    },
    cluster: { ...clusterFlag, help: 'Expected cluster.' },
    name: {
      takes: 'name',
      help: 'Expected name of the agent or user, or id of the server.',
      problem: (text) => (isIdentityName(text) ? undefined : 'a name'),
    },
    'trust-domain': trustDomainFlag('Expected trust domain (default that of the CA).'),
    output: outputFlag,
  },
  examples: [
    'culvert pki verify pki/hub-0.crt --role server',
    'culvert pki verify eu-1-a.crt --ca ca.crt --key eu-1-a.key --role agent --cluster eu-1',
  ],
  run: async (given, problems, nowUnixMs) => {
    const [file, ...more] = given.words
    const found = [
      ...problems,
      ...(file === undefined ? ['name the certificate file to verify'] : []),
      ...more.map((word) => `${JSON.stringify(word)}: unexpected; verify takes one file`),
    ]
    if (found.length > 0 || file === undefined) return { kind: 'refused', problems: found }
    const authorities = readCertificates(given.value('ca') ?? join(dirname(file), `${AUTHORITY_NAME}.crt`))
    const [leaf, ...brought] = readCertificates(file)
    const keyFile = given.value('key') ?? keyBeside(file)
    const key = keyFile === undefined ? undefined : readPrivateKey(keyFile)
    const trustDomain = given.value('trust-domain') ?? readTrustDomain(authorities[0].subjectAltName)
    const role = given.value('role')
    const expected = {
      trustDomain,
      role: role !== undefined && isRole(role) ? role : undefined,
      cluster: given.value('cluster'),
      name: given.value('name'),
    }
    const causes = checkLeaf(leaf, authorities, key, expected, nowUnixMs, brought)
    const { identity, ...summary } = summarize(leaf, nowUnixMs, trustDomain)
    const kind = causes.length > 0 ? 'failed' : 'done'
    if (given.value('output') === 'json') {
      const json = {
        file,
        ok: causes.length === 0,
        problems: causes,
        keyFile: keyFile ?? null,
        ...summary,
        ...identity,
      }
      return { kind, lines: [JSON.stringify(json, undefined, 2)] }
    }
    if (causes.length > 0) return { kind, lines: [], warnings: causes.map((cause) => `${file}: ${cause}`) }
    const keyText = keyFile === undefined ? 'no key checked' : `key ${keyFile} belongs to it`
    return { kind, lines: [`${file}: good: ${identityText(identity)}, ${summary.daysLeft} days left, ${keyText}`] }
  },
}

function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text)
}

function keyBeside(certificateFile: string): string | undefined {
  const keyFile = certificateFile.replace(/(?:\.\w+)?$/, '.key')
  return existsSync(keyFile) ? keyFile : undefined
}
