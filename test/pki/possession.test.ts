/** Of the wire around it, and of the server that asks for it: test/integration/new-certificate.test.ts. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { provePossession, provesPossession } from '../../src/pki/possession.ts'
import { type KeyKind, openSslCa } from '../integration/openssl.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const issue = (name: string) => issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name } })
const [server, first, second] = await Promise.all(['server', 'a1', 'a2'].map(issue))
const certificateOf = ({ certificatePem }: { readonly certificatePem: string }) => new X509Certificate(certificatePem)
const keyOf = ({ keyPem }: { readonly keyPem: string }): KeyObject => createPrivateKey(keyPem)

/** Both ends of one connection. */
async function connection(t: Test): Promise<readonly [client: TLSSocket, server: TLSSocket]> {
  const deadline = { signal: AbortSignal.timeout(10_000) }
  const listener = createServer({ cert: server!.certificatePem, key: server!.keyPem }).listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await once(listener, 'listening', deadline)
  const accepted = once(listener, 'secureConnection', deadline)
  const { port } = listener.address() as AddressInfo
  const client = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
  t.teardown(() => client.destroy())
  const [[peer]] = await Promise.all([accepted, once(client, 'secureConnect', deadline)])
  t.teardown(() => peer.destroy())
  return [client, peer]
}

t.test('who has the key proves it to the other end of the connection, and nowhere else', async (t) => {
  const [client, peer] = await connection(t)
  const [, stranger] = await connection(t)
  const leaf = certificateOf(first!)
  const proof = provePossession(client, leaf, keyOf(first!))
  t.equal(provesPossession(peer, leaf, proof), true)
  t.equal(provesPossession(stranger, leaf, proof), false, 'on another connection it is worth nothing')
  t.equal(provesPossession(peer, certificateOf(second!), proof), false, 'nor of another certificate')
  const forged = provePossession(client, leaf, keyOf(second!))
  t.equal(provesPossession(peer, leaf, forged), false, 'nor is that of another key')
})

t.test('keys of every kind that a certificate may have prove themselves', async (t) => {
  const [client, peer] = await connection(t)
  for (const kind of ['ec', 'rsa', 'ed25519'] satisfies KeyKind[]) {
    const { certFile, keyFile } = openSslCa(t, 'root', kind)
    const leaf = new X509Certificate(readFileSync(certFile))
    const proof = provePossession(client, leaf, createPrivateKey(readFileSync(keyFile)))
    t.equal(provesPossession(peer, leaf, proof), true, kind)
    proof[proof.length - 1]! ^= 1
    t.equal(provesPossession(peer, leaf, proof), false, `${kind}, damaged`)
  }
})

t.test('what is no signature proves nothing, nor does anything when the connection is over', async (t) => {
  const [client, peer] = await connection(t)
  const leaf = certificateOf(first!)
  for (const proof of [Buffer.alloc(0), Buffer.alloc(70), Buffer.alloc(100_000, 0x30)]) {
    t.equal(provesPossession(peer, leaf, proof), false, `${proof.length} bytes`)
  }
  const proof = provePossession(client, leaf, keyOf(first!))
  peer.destroy()
  t.equal(provesPossession(peer, leaf, proof), false)
})
