/**
 * What says who somebody is or what he reaches: names in certificates, SPIFFE identities and the cluster and principal that they lead to,
 * ids of clusters, and the identifiers of an agent. One text is read as each of them.
 */
import { parse } from 'node:querystring'
import type { Cluster } from '../../../src/clusters/cluster.ts'
import { createDirectory } from '../../../src/clusters/directory.ts'
import { readClusters } from '../../../src/clusters/read.ts'
import { alternativeNames, uriNames } from '../../../src/pki/alternative-names.ts'
import { type Identity, identityUri, isClusterId, isIdentityName, readIdentity } from '../../../src/pki/identity.ts'
import { type PeerCertificate, principalOf } from '../../../src/proxy-server/core/admission.ts'
import { type Identifiers, readIdentifiers } from '../../../src/proxy-server/core/identifiers.ts'
import { readRegistration } from '../../../src/proxy-server/core/registration.ts'
import { admitAgent, admitFrontend } from '../../../src/proxy-server/core/tenant-admission.ts'
import { latin1, mutated } from '../mutate.ts'
import { hold, type Target } from '../target.ts'

const DOMAIN = 'hub.example'
const pieces = [
  ...latin1(
    'URI:',
    'DNS:',
    'IP Address:',
    'email:',
    ', ',
    '"',
    '\\',
    '\\u002c ',
    '\\"',
    'spiffe://',
    'SPIFFE://',
    'hub.example',
    'other.example',
  ),
  ...latin1(
    '/cluster/',
    '/agent/',
    '/apiserver',
    '/user/',
    '/server/',
    'eu-1',
    'eu-2',
    '..',
    '.',
    '//',
    '/',
    '%2f',
    '?',
    '#',
    '@',
    ':',
    '-',
    '\0',
  ),
  ...latin1(
    'ipv4=',
    '&ipv6=',
    '&host=',
    'cidr=',
    'default-route=',
    'true',
    '&',
    ';',
    '%',
    '%zz',
    '+',
    '=',
    '\xff',
    'A'.repeat(64),
    '%ff',
    '%00',
  ),
]
const file = `id: eu-1
agents: {names: ["DNS:agent.example"]}
frontends: {users: [alice], names: ["URI:spiffe://other.example/a"], serverNames: [eu-1.hub.example]}
---
id: eu-2
frontends: {users: [alice, bob]}
`
const clusters = readClusters([{ path: 'c.yaml', text: file }])
const directory = createDirectory(clusters.ok ? clusters.value : ([] as Cluster[]))

export const identifiers: Target = {
  name: 'identifiers',
  ending: 'txt',
  covers: ['pki/identity', 'pki/alternative-names', 'proxy-server/core/admission', 'proxy-server/core/tenant-admission']
    .concat('proxy-server/core/identifiers', 'proxy-server/core/registration')
    .map((name) => `src/${name}.ts`),
  maxMs: 50,
  kinds: ['an identity', 'another certificate', 'an invalid certificate', 'identifiers'],

  make: (random, corpus) => mutated(random, random.pick(corpus), corpus, pieces, random.below(4)),

  check(bytes) {
    const text = bytes.toString('latin1').replace(/\n$/, '')
    checkIds(text)
    const isRead = checkIdentifiers(text)
    checkNames(text)
    const kind = checkIdentity(text)
    return kind === 'an invalid certificate' && isRead ? 'identifiers' : kind
  },
}

/** Beside a reading of RFC 1123 and of SPIFFE-ID by the letter. */
function checkIds(text: string): void {
  const letters = [...text]
  const areOf = (allowed: string): boolean => letters.every((letter) => allowed.includes(letter))
  const small = 'abcdefghijklmnopqrstuvwxyz0123456789'
  const isLabel = areOf(`${small}-`) && text.length > 0 && text.length < 64 && text[0] !== '-' && text.at(-1) !== '-'
  hold(isClusterId(text) === isLabel, () => `a cluster's id: ${JSON.stringify(text)}`)
  const isSegment = areOf(`${small}${small.toUpperCase()}.-_`) && text.length > 0 && text.length < 254
  hold(isIdentityName(text) === (isSegment && text !== '.' && text !== '..'), () => `a name: ${JSON.stringify(text)}`)
}

/** Beside node:querystring, and read again when written. @returns whether they are some */
function checkIdentifiers(text: string): boolean {
  const read = readIdentifiers(text)
  const registered = readRegistration(['agentid', 'a', 'AgentIdentifiers', text], 'x')
  hold((registered.kind === 'agent') === 'identifiers' in read, () => `registered: ${JSON.stringify(registered)}`)
  if ('problem' in read) {
    hold(read.problem !== '', () => 'refused without a word')
    return false
  }
  const { identifiers: found } = read
  const theirs = parse(text, '&', '=', { maxKeys: 0 })
  for (const key of ['ipv4', 'ipv6', 'host', 'cidr'] as const) {
    const wanted = [...new Set([theirs[key] ?? []].flat())].filter((value) => value !== '')
    hold(
      JSON.stringify(found[key]) === JSON.stringify(wanted),
      () => `${key}: ${found[key]}, node:querystring: ${wanted}`,
    )
  }
  const again = readIdentifiers(writtenIdentifiers(found))
  const isSame = JSON.stringify(again) === JSON.stringify(read)
  hold(isSame, () => `written again: ${JSON.stringify(again)}`)
  return [found.ipv4, found.ipv6, found.host, found.cidr].some(({ length }) => length > 0)
}

function writtenIdentifiers({ defaultRoute, ...lists }: Identifiers): string {
  const query = new URLSearchParams()
  for (const [key, values] of Object.entries(lists)) for (const value of values) query.append(key, value)
  if (defaultRoute) query.append('default-route', 'true')
  return query.toString()
}

/** Written as Node writes them, the same names are read. */
function checkNames(line: string): void {
  const names = alternativeNames(line)
  if (names === undefined) return
  const written = names
    .map(({ kind, value }) => `${kind}:${/[",\\]|[^ -~]/.test(value) ? quoted(value) : value}`)
    .join(', ')
  hold(JSON.stringify(alternativeNames(written)) === JSON.stringify(names), () => `written again: ${written}`)
}

const quoted = (value: string): string => JSON.stringify(value).replaceAll(',', '\\u002c')

/** Beside the URLs of the platform, and what the server makes of them. */
function checkIdentity(line: string): 'an identity' | 'another certificate' | 'an invalid certificate' {
  const identity = readIdentity(line, DOMAIN)
  const peer: PeerCertificate = {
    required: true,
    present: true,
    error: undefined,
    subject: 'CN=a',
    subjectAltName: line,
  }
  const agent = admitAgent(peer, DOMAIN, directory)
  const client = admitFrontend(peer, undefined, DOMAIN, directory)
  if (identity.role === 'invalid') {
    hold(identity.why !== '', () => 'invalid without a word')
    hold(agent.kind === 'refused' && client.kind === 'refused', () => 'admitted, though invalid')
    return 'an invalid certificate'
  }
  if (identity.role === 'none') {
    const byName = (uriNames(line) ?? []).concat(line).some((text) => /agent\.example|other\.example/i.test(text))
    hold((agent.kind === 'refused' && client.kind === 'refused') || byName, () => 'admitted by nothing')
    return 'another certificate'
  }
  const { trustDomain, ...rest } = identity
  const uri = identityUri(trustDomain, rest as Identity)
  const { protocol, host, pathname, href } = new URL(uri)
  hold(trustDomain === DOMAIN && host === DOMAIN && protocol === 'spiffe:', () => `of another trust domain: ${uri}`)
  hold(href === uri && uri === `spiffe://${host}${pathname}`, () => `a URL of more parts: ${uri}`)
  hold(uriNames(line)?.includes(uri) === true, () => `names that are not there: ${uri}`)
  for (const domain of [DOMAIN, undefined]) {
    const again = readIdentity(`URI:${uri}`, domain)
    hold(JSON.stringify(again) === JSON.stringify(identity), () => `written again: ${uri}`)
  }
  const principal = principalOf(identity, 'CN=a')
  hold(uri === `spiffe://${DOMAIN}/${principal}`, () => `known as ${principal}`)
  for (const admission of [agent, client]) {
    if (admission.kind === 'refused') continue
    const isOwn = !('cluster' in identity) || admission.cluster === identity.cluster
    hold(isOwn && admission.principal === principal, () => `admitted as another: ${JSON.stringify(admission)}`)
    hold((admission === agent) === (identity.role === 'agent'), () => `at the wrong port: ${JSON.stringify(admission)}`)
  }
  return 'an identity'
}
