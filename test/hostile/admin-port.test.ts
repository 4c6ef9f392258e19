/**
 * Who asks at the admin port of a hub what is none of its business: with the certificate of an agent or an API server of `evil`, without
 * one, with a wrong token. What others see there: test/integration/admin-port.test.ts.
 */
import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { type Leaf, type Pki, temporaryFolder } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { type Attack, withstand } from './attack.ts'
import { type Arena, startArena } from './hub.ts'

const TOKEN = 'a-token-of-sufficient-length'
const tokenFile = join(temporaryFolder(t), 'token')
writeFileSync(tokenFile, TOKEN)
const serves = ({ server }: Pki): string[] => [`--admin-cert=${server.certFile}`, `--admin-key=${server.keyFile}`]
/** The admin port takes no plain requests: the same figures are on the health port. */
const start = async (protect: (pki: Pki) => string): Promise<Arena> => {
  const arena = await startArena(t, { flags: (pki) => [...serves(pki), protect(pki)] })
  return { ...arena, figuresPort: arena.healthPort }
}
const certified = await start(({ caFile }) => `--admin-ca-cert=${caFile}`)
const secret = await start(() => `--admin-token-file=${tokenFile}`)

type Told = { readonly status: number | undefined; readonly body: string }

async function ask(hub: Arena, from: string, leaf?: Leaf, token?: string): Promise<Told> {
  const request = get({
    host: '127.0.0.1',
    localAddress: from,
    port: hub.adminPort,
    path: '/v1/clusters',
    agent: false,
    ca: hub.pki.authority.certificatePem,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }),
  })
  const response = await event<IncomingMessage>(request, 'response')
  return { status: response.statusCode, body: await text(response) }
}

const metric = 'culvert_server_bad_probes_total{why="forbidden"}'
const refused = { event: 'admin', verdict: 'refused' }

const byCertificate: Attack[] = [
  {
    what: 'an agent of evil asks who else is there',
    act: async () => ask(certified, '127.0.0.21', certified.leaves.evilAgent),
    saw: { status: 403, body: /for users with a certificate: it is an agent certificate/ },
    metric,
    audit: { ...refused, source: '127.0.0.21', reason: /it is an agent certificate/ },
  },
  {
    what: 'an API server of evil asks who else is there',
    act: async () => ask(certified, '127.0.0.22', certified.leaves.evil),
    saw: { status: 403, body: /for users with a certificate/ },
    metric,
    audit: { ...refused, source: '127.0.0.22', reason: /client certificate not accepted/ },
  },
  {
    what: 'somebody without a certificate asks who is there',
    act: async () => ask(certified, '127.0.0.23'),
    saw: { status: 403, body: /none was sent/ },
    metric,
    audit: { ...refused, source: '127.0.0.23', reason: /none was sent/ },
  },
]
withstand(certified, byCertificate)

const byToken: Attack[] = [undefined, '', `${TOKEN}x`].map((token, index) => ({
  what: `somebody with ${token === undefined ? 'no token' : `the token "${token}"`} asks who is there`,
  act: async () => ask(secret, `127.0.0.${31 + index}`, undefined, token),
  saw: { status: 401, body: /for clients with a token/ },
  metric,
  audit: { ...refused, source: `127.0.0.${31 + index}`, reason: 'no token that is accepted' },
}))
withstand(secret, byToken)
