/** `culvert clusters add`: one more cluster. */
import type { Command, Flag, Given } from '../../platform/command-line.ts'
import { addCluster } from '../files.ts'
import { type ClusterDocument, limitDefaults, schemaProblems } from '../schema.ts'
import { clustersFlag, idOf, pathOf } from './flags.ts'

const texts = (takes: string, help: string): Flag => ({ takes, help, repeats: true })
const LIMITS = Object.keys(limitDefaults)

export const add: Command = {
  usage: 'add <id> [flags]',
  summary: 'Add a cluster.',
  about: [
    'Appends a document to the file, which it makes if there is none, or makes a file <id>.yaml in the folder. What is there stays as it is.',
    'Agents and API servers whose certificates name the cluster in a SPIFFE URI, as "culvert pki issue" makes them, need no flag.',
    'A running proxy-server notices by itself.',
  ],
  flags: {
    clusters: clustersFlag,
    'agent-subject': texts('subject', 'Agents with a certificate of this subject.'),
    'agent-name': texts('name', 'Agents with a certificate of this alternative name, such as DNS:agent.example.'),
    'agent-user': texts('user', 'Agents with a token of this user, such as system:serviceaccount:eu-1:agent.'),
    'frontend-subject': texts('subject', 'Clients with a certificate of this subject.'),
    'frontend-name': texts('name', 'Clients with a certificate of this alternative name.'),
    user: texts('name', 'Holder of a user certificate who may reach the cluster.'),
    'server-name': texts('name', 'TLS server name that leads to the cluster.'),
    address: texts(
      'address',
      'Address or range such as 192.0.2.0/24 from which clients of this cluster come, and nobody else.',
    ),
    socket: { takes: 'path', help: 'Unix socket that leads to the cluster.' },
    limit: {
      takes: 'name=value',
      repeats: true,
      help: `What it may use: ${LIMITS.map((name) => `${name} (${limitDefaults[name]})`).join(', ')}.`,
      problem: (text) => (limitOf(text) === undefined ? `one of ${LIMITS.join(', ')}, "=" and a value` : undefined),
    },
  },
  examples: [
    'culvert clusters add eu-1',
    'culvert clusters add eu-2 --server-name eu-2.hub.example --limit agents=10 --limit bufferedBytes=32MiB',
    'culvert clusters add eu-3 --clusters /etc/culvert/clusters.d --agent-subject "O=example, CN=agent-eu-3" --socket /run/culvert/eu-3.sock',
  ],
  run: async (given, problems) => {
    const found = [...problems]
    const id = idOf(given, found, 'add')
    const document = documentOf(id ?? '', given)
    if (id !== undefined) found.push(...schemaProblems(document).first.map(({ expected }) => expected))
    if (found.length > 0) return { kind: 'refused', problems: found }
    return { kind: 'done', lines: [`Added cluster ${document.id} to ${addCluster(pathOf(given), document)}.`] }
  },
}

function limitOf(text: string): readonly [name: string, value: number | string] | undefined {
  const [, name = '', value = ''] = /^(\w+)=(\w+)$/.exec(text) ?? []
  if (!LIMITS.includes(name)) return undefined
  return [name, /^\d+$/.test(value) ? Number(value) : value]
}

/** With what was given and nothing else. */
function documentOf(id: string, given: Given): ClusterDocument {
  const agents = {
    ...some('subjects', given.all('agent-subject')),
    ...some('names', given.all('agent-name')),
    ...some('users', given.all('agent-user')),
  }
  const socket = given.value('socket')
  const frontends = {
    ...some('subjects', given.all('frontend-subject')),
    ...some('names', given.all('frontend-name')),
    ...some('users', given.all('user')),
    ...some('serverNames', given.all('server-name')),
    ...some('addresses', given.all('address')),
    ...(socket !== undefined && { socket }),
  }
  const limits = Object.fromEntries(given.all('limit').flatMap((text) => [limitOf(text) ?? []]))
  return { id, ...filled('agents', agents), ...filled('frontends', frontends), ...filled('limits', limits) }
}

const some = (name: string, values: readonly string[]) => (values.length === 0 ? {} : { [name]: values })
const filled = (name: string, value: object) => (Object.keys(value).length === 0 ? {} : { [name]: value })
