/** `culvert pki issue`: makes a certificate and its key for a server, agent, API server or user. */
import { X509Certificate } from 'node:crypto'
import type { Command, Given } from '../../platform/command-line.ts'
import { isDnsName, isIpAddress } from '../hosts.ts'
import { type Identity, isIdentityName, ROLES } from '../identity.ts'
import { LEAF_LIFETIME, parseLifetime } from '../lifetime.ts'
import { AUTHORITY_NAME, readAuthority, writeAuthorityCertificate, writePair } from '../store.ts'
import { identityText } from '../summary.ts'
import {
  AUTHORITY_FOLDER,
  clusterFlag,
  DEFAULT_CLUSTER,
  folderFlag,
  forceFlag,
  lifetimeFlag,
  trustDomainFlag,
} from './flags.ts'

export const issue: Command = {
  usage: `issue ${ROLES.join('|')} <name> [flags]`,
  summary: 'Issue a certificate and its key.',
  about: [
    'The role decides what the holder may do, and is checked wherever it connects:',
    '  agent      the proxy-agent of a cluster             spiffe://<trust domain>/cluster/<cluster>/agent/<name>',
    "  apiserver  a cluster's kube-apiserver, for CONNECT  spiffe://<trust domain>/cluster/<cluster>/apiserver",
    '  user       a person or program, for CONNECT         spiffe://<trust domain>/user/<name>',
    '  server     the proxy-server itself                  spiffe://<trust domain>/server/<name>',
    'The name is 1 to 253 letters, digits, ".", "-" and "_"; for an apiserver it is only that of the files and may be left out.',
    'Writes <name>.crt, <name>.key (mode 0600) and, in a folder other than that of the CA, ca.crt.',
    'A server serves only (EKU serverAuth). The others connect (clientAuth), and may serve too where --dns or --ip is given.',
    'A certificate never outlives its CA: a longer lifetime is cut.',
  ],
  flags: {
    cluster: { ...clusterFlag, help: 'Cluster of an agent or apiserver, a DNS label.', default: DEFAULT_CLUSTER },
    dns: {
      takes: 'name',
      repeats: true,
      help: 'DNS name by which clients reach the holder.',
      problem: (text) => (isDnsName(text) ? undefined : 'a DNS name such as hub.example or *.hub.example'),
    },
    ip: {
      takes: 'address',
      repeats: true,
      help: 'IP address by which clients reach the holder.',
      problem: (text) => (isIpAddress(text) ? undefined : 'an IP address such as 192.0.2.7 or 2001:db8::7'),
    },
    lifetime: lifetimeFlag(LEAF_LIFETIME),
    dir: folderFlag,
    out: { takes: 'folder', help: 'Folder for the new files (default that of the CA).' },
    'trust-domain': trustDomainFlag('Only for a CA that names none, not having been made by culvert.'),
    force: forceFlag,
  },
  examples: [
    'culvert pki issue server hub-0 --dns hub.example --ip 192.0.2.7',
    'culvert pki issue agent eu-1-a --cluster eu-1 --out agent-eu-1',
    'culvert pki issue apiserver --cluster eu-1 --out apiserver-eu-1',
    'culvert pki issue user alice --lifetime 24h',
  ],
  run: async (given, problems, nowUnixMs) => {
    const [role, name = role === 'apiserver' ? role : undefined] = given.words
    const found = [...problems, ...wordProblems(given, name), ...flagProblems(given)]
    const lifetimeMs = parseLifetime(given.value('lifetime') ?? '')
    const identity = identityOf(role, name, given.value('cluster') ?? DEFAULT_CLUSTER)
    if (found.length > 0 || identity === undefined || name === undefined || lifetimeMs === undefined) {
      return { kind: 'refused', problems: found }
    }
    const folder = given.value('dir') ?? AUTHORITY_FOLDER
    const out = given.value('out') ?? folder
    const existing = given.isSet('force') ? 'replace' : 'keep'
    const authority = readAuthority(folder, given.value('trust-domain'))
    const { trustDomain } = authority
    const [dnsNames, ipAddresses] = [given.all('dns'), given.all('ip')]
    const { issueLeaf } = await import('../leaf.ts') // slow to load: not for help or a mistake
    const leaf = await issueLeaf(authority, { identity, dnsNames, ipAddresses, lifetimeMs, nowUnixMs })
    const authorityFile = writeAuthorityCertificate(out, authority, existing)
    const files = writePair(out, name, leaf, existing)
    const end = new X509Certificate(leaf.certificatePem).validToDate
    const cut = end.getTime() < Math.floor((nowUnixMs + lifetimeMs) / 1_000) * 1_000
    return {
      kind: 'done',
      lines: [
        `Issued ${identityText({ ...identity, trustDomain })}, valid until ${end.toISOString().slice(0, 10)}.`,
        `  ${files.certificateFile}`,
        `  ${files.keyFile}  keep it secret`,
        `  ${authorityFile}`,
      ],
      warnings: cut ? [`the lifetime is cut to the end of the CA, ${end.toISOString()}`] : [],
    }
  },
}

function identityOf(role: string | undefined, name: string | undefined, cluster: string): Identity | undefined {
  if (role === 'apiserver') return { role, cluster }
  if (name === undefined) return undefined
  if (role === 'agent') return { role, cluster, name }
  if (role === 'user') return { role, name }
  return role === 'server' ? { role, id: name } : undefined
}

function wordProblems({ words }: Given, name: string | undefined): readonly string[] {
  const [role, , ...more] = words
  const known: readonly string[] = ROLES
  const problems = more.map((word) => `${JSON.stringify(word)}: unexpected; issue takes a role and a name`)
  if (role === undefined) return [`say for whom: one of ${known.join(', ')}, and a name`]
  if (!known.includes(role))
    problems.unshift(`${JSON.stringify(role)}: unknown role: expected one of ${known.join(', ')}`)
  if (name === undefined) problems.push(`give the name of the ${role}: culvert pki issue ${role} <name>`)
  else if (!isIdentityName(name)) {
    problems.push(`${JSON.stringify(name)}: expected a name of 1 to 253 letters, digits, ".", "-" or "_"`)
  } else if (name.toLowerCase() === AUTHORITY_NAME) {
    problems.push(`"${name}": is the name of the CA's own files: choose another`)
  }
  return problems
}

/** What each role has no use for is refused, since it was meant to have an effect. */
function flagProblems(given: Given): readonly string[] {
  const [role] = given.words
  const problems: string[] = []
  if (given.isSet('cluster') && (role === 'user' || role === 'server')) {
    problems.push(`--cluster: a ${role} belongs to no cluster: leave it out`)
  }
  if (role === 'server' && !given.isSet('dns') && !given.isSet('ip')) {
    problems.push('--dns or --ip: must be set for a server: agents and API servers accept it under these names only')
  }
  return problems
}
