/** Who may ask at the admin port beyond this machine: by a token, or by the certificate of a user, for as long as it is good. */
import { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { writeFileSync } from 'node:fs'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { updateList } from '../../src/pki/revocation-list.ts'
import { type Leaf, makePki, temporaryFolder } from './certificates.ts'
import { event, within } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { startHub } from './hub.ts'
import { openSslCa } from './openssl.ts'
import { type Server, startServer } from './tunnel.ts'

const pki = await makePki(t)
const adminFlags = [`--admin-cert=${pki.server.certFile}`, `--admin-key=${pki.server.keyFile}`]
const TOKEN = 'a-token-of-sufficient-length'

type Shown = { readonly leaf?: Leaf; readonly token?: string }

/** @returns the status of an answer over TLS, or its body */
async function askTls(server: Server, path: string, shown?: Shown): Promise<number | undefined>
async function askTls(server: Server, path: string, shown: Shown, whole: true): Promise<string>
async function askTls(
  { adminPort, pki: { authority } }: Server,
  path: string,
  { leaf, token }: Shown = {},
  whole = false,
) {
  const request = httpsGet({
    host: '127.0.0.1',
    port: adminPort,
    path,
    agent: false,
    ca: authority.certificatePem,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    ...(token !== undefined && { headers: { Authorization: `Bearer ${token}` } }),
  })
  const response = await event<IncomingMessage>(request, 'response')
  const body = await text(response)
  return whole ? body : response.statusCode
}

/** Over TLS, from the first of them on. */
async function readEvents(t: Test, { adminPort, pki }: Server, { cert, key }: Leaf): Promise<IncomingMessage> {
  const ca = pki.authority.certificatePem
  const request = httpsGet({ host: '127.0.0.1', port: adminPort, path: '/v1/events', agent: false, ca, cert, key })
  request.on('error', () => undefined)
  t.teardown(() => request.destroy())
  const response = await event<IncomingMessage>(request, 'response')
  response.on('error', () => undefined)
  await event(response, 'data')
  return response
}

t.test('beyond this machine clusters are shown to nobody without protection', async (t) => {
  const server = await startServer(t, { pki, flags: ['--admin-bind-address=0.0.0.0'] })
  for (const path of ['/v1/clusters', '/v1/clusters/default', '/v1/events']) {
    t.equal((await fetchFrom(server.adminPort, path)).status, 403, path)
  }
  t.equal((await fetchFrom(server.adminPort, '/metrics')).status, 200, 'as at konnectivity')
})

t.test('a host name to listen on is taken to lead beyond this machine', async (t) => {
  const server = await startServer(t, { pki, flags: [`--admin-bind-address=${hostname()}`] })
  const { address } = await lookup(hostname())
  const ask = async (path: string): Promise<IncomingMessage> => {
    const request = httpGet({ host: address, port: server.adminPort, path, agent: false })
    return event<IncomingMessage>(request, 'response')
  }
  t.equal((await ask('/v1/clusters')).statusCode, 403)
  t.equal((await ask('/metrics')).statusCode, 200)
})

t.test('with a token the admin port is for those who show it', async (t) => {
  const tokenFile = join(temporaryFolder(t), 'token')
  writeFileSync(tokenFile, `${TOKEN}\n`)
  const flags = ['--admin-bind-address=0.0.0.0', ...adminFlags, `--admin-token-file=${tokenFile}`]
  const server = await startServer(t, { pki, flags })
  for (const path of ['/v1/clusters', '/metrics']) {
    t.equal(await askTls(server, path, { token: TOKEN }), 200)
    t.equal(await askTls(server, path), 401)
    t.equal(await askTls(server, path, { token: `${TOKEN}x` }), 401)
  }
  writeFileSync(tokenFile, 'another-token-of-that-length')
  t.equal(await askTls(server, '/v1/clusters', { token: TOKEN }), 401, 'it was exchanged')
  writeFileSync(tokenFile, '')
  t.equal(await askTls(server, '/v1/clusters', { token: '' }), 401, 'an empty one is nobody’s')
})

t.test('with a CA the admin port is for those with its certificates', async (t) => {
  const flags = ['--admin-bind-address=0.0.0.0', ...adminFlags, `--admin-ca-cert=${pki.caFile}`]
  const server = await startServer(t, { pki, flags })
  const stranger = await (await makePki(t)).issue('stranger', { identity: { role: 'user', name: 'eve' } })
  const alice = await pki.issue('alice', { identity: { role: 'user', name: 'alice' } })
  for (const path of ['/v1/clusters', '/metrics']) {
    t.equal(await askTls(server, path, { leaf: alice }), 200)
    t.equal(await askTls(server, path), 403)
    t.equal(await askTls(server, path, { leaf: stranger }), 403)
    t.equal(await askTls(server, path, { leaf: pki.agent }), 403, 'an agent learns nothing of other clusters')
    t.equal(await askTls(server, path, { leaf: pki.apiserver }), 403, 'nor does an API server')
    t.equal(await askTls(server, path, { leaf: pki.server }), 403)
  }
})

t.test('a certificate that says nothing of its holder is for a server of one cluster', async (t) => {
  const elsewhere = openSslCa(t, 'elsewhere')
  const leaf = elsewhere.issue('somebody', 'DNS:somebody.example')
  const flags = ['--admin-bind-address=0.0.0.0', ...adminFlags, `--admin-ca-cert=${elsewhere.certFile}`]
  t.equal(await askTls(await startServer(t, { pki, flags }), '/v1/clusters', { leaf }), 200)
  const hub = await startHub(t, () => 'id: eu-1\n', flags, pki)
  t.equal(await askTls(hub, '/v1/clusters', { leaf }), 403, 'it may be that of an agent')
})

for (const workers of [[], ['--workers=2']]) {
  t.test(`metrics that anybody may read name no cluster of many ${workers}`, async (t) => {
    const metricsOf = async (port: number): Promise<string> => (await fetchFrom(port, '/metrics')).text()
    const local = await startHub(t, () => 'id: eu-1\n', workers, pki)
    t.match(await metricsOf(local.adminPort), 'culvert_server_cluster_limit{cluster="eu-1"')
    const open = await startHub(t, () => 'id: eu-1\n', ['--admin-bind-address=0.0.0.0', ...workers], pki)
    for (const port of [local.healthPort, open.healthPort, open.adminPort]) {
      const shown = await metricsOf(port)
      t.notMatch(shown, 'eu-1')
      t.match(shown, 'culvert_server_clusters{state="lost"} 1')
    }
  })
}

for (const flags of [[], ['--workers=2']]) {
  t.test(`who is revoked is hung up on at the admin port, and stays out ${flags}`, async (t) => {
    const own = await makePki(t)
    const [mallory, alice] = await Promise.all(
      ['mallory', 'alice'].map((name) => own.issue(name, { identity: { role: 'user', name } })),
    )
    const revoke = (...leaves: (Leaf | undefined)[]): Promise<unknown> =>
      updateList(own.folder, own.authority, {
        serials: leaves.map((leaf) => new X509Certificate(leaf?.cert ?? '').serialNumber.toLowerCase()),
        lifetimeMs: 3_600_000,
        nowUnixMs: Date.now(),
      })
    await revoke()
    const server = await startServer(t, {
      pki: own,
      flags: [
        ...flags,
        `--admin-cert=${own.server.certFile}`,
        `--admin-key=${own.server.keyFile}`,
        `--admin-ca-cert=${own.caFile}`,
        `--server-crl-file=${join(own.folder, 'crl.pem')}`,
      ],
    })
    const [lost, kept] = await Promise.all([mallory, alice].map((leaf) => readEvents(t, server, leaf!)))
    const out = new Promise((resolve) => lost?.once('close', resolve))
    await revoke(mallory)
    await within(out, 'the revoked one is out', 5_000)
    t.equal(await askTls(server, '/v1/clusters', { leaf: mallory! }), 403)
    t.equal(kept?.destroyed, false)
    const metrics = await askTls(server, '/metrics', { leaf: alice! }, true)
    t.match(metrics, 'culvert_server_cut_off_connections_total{port="admin",why="revoked"} 1')
    for (const [flag, least] of [
      ['admin-cert', 300],
      ['admin-ca-cert', 3_600],
      ['cluster-cert', 300],
    ] as const) {
      const [, seconds] =
        new RegExp(`certificate_expiry_seconds\\{flag="${flag}"\\} (\\d+)`).exec(String(metrics)) ?? []
      t.ok(Number(seconds) > least * 86_400, `${flag} is good for ${seconds} s`)
    }
  })
}

t.test('revocation lists for the admin port go together with a Unix socket for clients', async (t) => {
  const own = await makePki(t)
  await updateList(own.folder, own.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  const list = `--server-crl-file=${join(own.folder, 'crl.pem')}`
  const start = (...flags: string[]): Promise<unknown> =>
    startServer(t, { pki: own, transport: 'uds', flags: [list, ...flags] })
  await t.rejects(start(), { message: /--server-crl-file is of no use/ })
  await start(...adminFlags, `--admin-ca-cert=${own.caFile}`)
})

t.test('what would not protect is refused at the start', async (t) => {
  const tokenFile = join(temporaryFolder(t), 'token')
  const start = (...flags: string[]): Promise<unknown> => startServer(t, { pki, flags })
  writeFileSync(tokenFile, 'short')
  await t.rejects(start(`--admin-token-file=${tokenFile}`), { message: /must have 16 characters/ })
  writeFileSync(tokenFile, TOKEN)
  await t.rejects(start(`--admin-token-file=${tokenFile}`, '--admin-bind-address=0.0.0.0'), { message: /in clear/ })
  await t.rejects(start(`--admin-token-file=${tokenFile}`, '--admin-bind-address=hub.example'), { message: /in clear/ })
  await t.rejects(start(`--admin-ca-cert=${pki.caFile}`), { message: /needs --admin-cert/ })
  await t.rejects(start(`--admin-cert=${pki.server.certFile}`), { message: /belong together/ })
  await t.rejects(start(...adminFlags.slice(0, 1), `--admin-key=${pki.agent.keyFile}`), { message: /--admin-key/ })
})
