/** `culvert token create`: lets one agent in. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { Command, Flag } from '../../platform/command-line.ts'
import { clusterFlag, DEFAULT_CLUSTER } from '../commands/flags.ts'
import { isIdentityName } from '../identity.ts'
import { createJoinToken, plainFingerprint, writeJoinToken } from '../join-token.ts'
import { parseLifetime } from '../lifetime.ts'
import { readCertificates } from '../pem.ts'
import { writeSecretFile } from '../store.ts'
import { removeToken, storeToken } from '../token-store.ts'
import { authorityFlag, DEFAULT_AUTHORITY, tokenFolderFlag, tokenFolderOf } from './flags.ts'

/** A token is a door that stands open. */
const LONGEST_TTL_MS = 7 * 86_400_000
const TTL = '15m'
const TTL_EXPECTED = 'a time from 1s to 7d, such as 15m or 24h'

const ttlFlag: Flag = {
  takes: 'duration',
  default: TTL,
  help: 'How long it may be used.',
  problem: (text) => (ttlOf(text) === undefined ? TTL_EXPECTED : undefined),
}

export const create: Command = {
  usage: 'create --cluster <id> [flags]',
  summary: 'Make a token by which one agent joins the hub, once.',
  about: [
    "Prints the token, or writes it to a file (mode 0600). The proxy-agent reads it by --join-token-file; it carries the fingerprint of the hub's",
    'CA, so that the agent knows the hub before it shows it. The hub keeps a hash of it, in the folder that its proxy-servers are given',
    'by --join-tokens. The cluster and the name of the agent are fixed here: nothing that the agent says of itself counts.',
  ],
  flags: {
    cluster: { ...clusterFlag, default: DEFAULT_CLUSTER, help: 'Cluster of the agent, a DNS label.' },
    ttl: ttlFlag,
    name: {
      takes: 'name',
      help: 'Name of the agent (default a new one).',
      problem: (text) => (isIdentityName(text) ? undefined : 'a name of 1 to 253 letters, digits, ".", "-" or "_"'),
    },
    tokens: tokenFolderFlag,
    ca: authorityFlag,
    out: { takes: 'file', help: 'Write the token to this file, which must not be there yet, instead of printing it.' },
  },
  examples: [
    'culvert token create --cluster eu-1 --ttl 15m --out join-token',
    'culvert token create --cluster eu-1 --name eu-1-a | kubectl create secret generic join --from-file=token=/dev/stdin',
  ],
  run: async (given, problems, nowUnixMs) => {
    const found = [
      ...problems,
      ...given.words.map((word) => `${JSON.stringify(word)}: unexpected; create takes flags only`),
    ]
    const ttlMs = ttlOf(given.value('ttl') ?? '')
    if (found.length > 0 || ttlMs === undefined) return { kind: 'refused', problems: found }
    const cluster = given.value('cluster') ?? DEFAULT_CLUSTER
    const name = given.value('name') ?? `agent-${randomBytes(4).toString('hex')}`
    const [authority, ...more] = readCertificates(given.value('ca') ?? DEFAULT_AUTHORITY)
    if (!authority.ca)
      return { kind: 'failed', lines: [], warnings: [`--ca: ${given.value('ca')} is not the certificate of a CA`] }
    if (!authority.checkIssued(authority)) {
      const warnings = [
        `--ca: ${given.value('ca')} is an intermediate CA, and agents know a hub by the self-signed one above it`,
      ]
      return { kind: 'failed', lines: [], warnings }
    }
    const count = new Set([authority, ...more].map(({ fingerprint256 }) => fingerprint256)).size
    if (count > 1) {
      const warnings = [
        `--ca: ${given.value('ca')} holds ${count} CAs, and a token is for one: name a file of the one that issued the proxy-servers' certificates alone`,
      ]
      return { kind: 'failed', lines: [], warnings }
    }
    const out = given.value('out')
    if (out !== undefined && existsSync(out)) {
      return {
        kind: 'failed',
        lines: [],
        warnings: [`--out: ${out} is there already: name another file, or remove it`],
      }
    }
    const folder = tokenFolderOf(given)
    const token = createJoinToken(plainFingerprint(authority.fingerprint256))
    const expiresUnixMs = nowUnixMs + ttlMs
    const text = writeJoinToken(token)
    storeToken(folder, token, { cluster, name, createdUnixMs: nowUnixMs, expiresUnixMs })
    try {
      if (out !== undefined) writeSecretFile(out, `${text}\n`)
    } catch (error) {
      removeToken(folder, token.id) // nobody has it
      throw error
    }
    if (out === undefined) return { kind: 'done', lines: [text] }
    return {
      kind: 'done',
      lines: [
        `Made the token ${token.id} for agent ${name} of cluster ${cluster}, to be used until ${new Date(expiresUnixMs).toISOString()}.`,
        `  ${out}  keep it secret`,
        `Next: proxy-agent --join-token-file=${out} --agent-cert=agent.crt --agent-key=agent.key --ca-cert=ca.crt …`,
      ],
    }
  },
}

function ttlOf(text: string): number | undefined {
  const ms = parseLifetime(text)
  return ms !== undefined && ms <= LONGEST_TTL_MS ? ms : undefined
}
