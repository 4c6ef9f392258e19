/**
 * Certificates as cert-manager makes and renews them, of a CA that OpenSSL has made: a URI and no subject, in a Secret that is mounted
 * as a folder and exchanged by one link. Source: docs/certificates.md, "Certificates of another CA".
 */
import { X509Certificate } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { list } from '../../src/pki/commands/list.ts'
import { show } from '../../src/pki/commands/show.ts'
import { verify } from '../../src/pki/commands/verify.ts'
import { run } from '../platform/run-command.ts'
import { type Leaf, makePki, type Pki, temporaryFolder } from './certificates.ts'
import { connectFrontend, echoOver, openTunnel } from './client.ts'
import { fetchFrom, figure } from './figures.ts'
import { type KeyKind, type OpenSslCa, openSslCa } from './openssl.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent, startServer } from './tunnel.ts'

/** Nearly all of it is waiting. */
t.jobs = 2
const together = { buffered: true }
const target = await listenTarget(t, echo)

/** What `uris`, `dnsNames`, `ipAddresses` and `usages` of a Certificate become: without a common name there is no subject. */
const extensions = (names: string, usage: 'clientAuth' | 'serverAuth'): string =>
  [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature,keyEncipherment',
    `extendedKeyUsage=${usage}`,
    `subjectAltName=critical,${names}`,
    '',
  ].join('\n')

type Mounted = Leaf & { readonly folder: string; readonly caFile: string; readonly write: (leaf: Leaf) => void }

/** A Secret as kubelet mounts it: all its files change at once. */
function mount(t: Test, root: OpenSslCa, leaf: Leaf): Mounted {
  const folder = temporaryFolder(t)
  const file = (name: string): string => join(folder, name)
  const write = ({ cert, key }: Leaf): void => {
    const data = mkdtempSync(file('..2026_11_22_'))
    mkdirSync(data, { recursive: true })
    for (const [name, text] of [
      ['tls.crt', cert],
      ['tls.key', key],
      ['ca.crt', readFileSync(root.certFile, 'utf8')],
    ] as const) {
      writeFileSync(join(data, name), text)
    }
    symlinkSync(basename(data), file('..data_tmp'))
    renameSync(file('..data_tmp'), file('..data'))
  }
  write(leaf)
  for (const name of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(join('..data', name), file(name))
  return { ...leaf, folder, certFile: file('tls.crt'), keyFile: file('tls.key'), caFile: file('ca.crt'), write }
}

const serialOf = ({ cert }: Leaf): string => new X509Certificate(cert).serialNumber

for (const [above, kind] of [
  ['rsa', 'ec'],
  ['ec', 'rsa'],
] as const satisfies readonly (readonly [KeyKind, KeyKind])[]) {
  t.test(`${kind} certificates below an ${above} root are taken, renewed and shown`, together, async (t) => {
    const root = openSslCa(t, 'root', above)
    const issuer = root.intermediate('issuer', undefined, kind)
    let count = 0
    const issue = (names: string, usage: 'clientAuth' | 'serverAuth'): Leaf =>
      issuer.certify(`leaf-${++count}`, extensions(names, usage), { kind })
    const agentName = 'URI:spiffe://hub.example/cluster/eu-1/agent/eu-1-a'
    const hubName = 'URI:spiffe://hub.example/server/hub-0,DNS:hub.example,IP:127.0.0.1'
    const agentSecret = mount(t, root, issue(agentName, 'clientAuth'))
    const hubSecret = mount(t, root, issue(hubName, 'serverAuth'))
    t.equal(new X509Certificate(agentSecret.cert).subject, undefined, 'it has no subject')
    const own = await makePki(t)
    const pki: Pki = {
      ...own,
      authority: { ...own.authority, certificatePem: readFileSync(root.certFile, 'utf8') },
      caFile: hubSecret.caFile,
      server: hubSecret,
      agent: agentSecret,
      apiserver: issue('URI:spiffe://hub.example/cluster/eu-1/apiserver', 'clientAuth'),
    }
    const server = await startServer(t, { pki, flags: ['--trust-domain=hub.example'] })
    const agent = await startAgent(t, server)
    const open = await openTunnel(server, target.address)
    await echoOver(open, 'with certificates of cert-manager')
    const fleet = await (await fetchFrom(server.adminPort, '/v1/clusters')).text()
    t.match(fleet, /"principal": "cluster\/eu-1\/agent\/eu-1-a"/)

    const [agentNext, hubNext] = [issue(agentName, 'clientAuth'), issue(hubName, 'serverAuth')]
    agentSecret.write(agentNext)
    hubSecret.write(hubNext)
    await Promise.all([
      agent.logged('TLS files changed, the next connection uses them'),
      server.logged('agent shows a new certificate'),
      server.logged('TLS files changed, new handshakes use them', 2),
    ])
    const socket = (await connectFrontend(server)) as TLSSocket
    t.equal(socket.getPeerX509Certificate()?.serialNumber, serialOf(hubNext))
    socket.destroy()
    await echoOver(open, 'over both renewals')
    open.destroy()
    t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 1, 'on the connection that it had')
    t.equal(await figure(agent, 'culvert_agent_tls_files_broken'), 0)
    const days = (await figure(agent, 'culvert_agent_certificate_expiry_seconds{flag="agent-cert"}')) / 86_400
    t.ok(days > 6.9 && days <= 7, `${days} days`)

    const listed = await run(list, [agentSecret.folder, hubSecret.folder])
    t.match(listed, { kind: 'done', warnings: [] })
    t.match(
      listed.kind === 'done' && listed.lines.join('\n'),
      /agent eu-1-a of cluster eu-1 in hub\.example +\S+tls\.crt/,
    )
    t.match(await run(show, [agentSecret.certFile]), { kind: 'done' })
    t.match(await run(verify, [agentSecret.certFile, '--ca', agentSecret.caFile]), { kind: 'done' })
  })
}
