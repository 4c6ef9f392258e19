/** The certificates of one run of the benchmark, ECDSA P-256, in files: every peer uses the same. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '../src/pki/authority.ts'
import { issueLeaf, type LeafRequest } from '../src/pki/leaf.ts'
import type { Certificates, KeyPair } from './peers/peer.ts'
import { HUB_ADDRESS } from './places.ts'

const CLUSTER = 'default'
const addresses = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', HUB_ADDRESS] }

/** Writes into `folder`. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const authority = await createAuthority({ trustDomain: 'bench.example' })
  const ca = join(folder, 'ca.pem')
  writeFileSync(ca, authority.certificatePem)
  const issue = async (name: string, request: LeafRequest): Promise<KeyPair> => {
    const { certificatePem, keyPem } = await issueLeaf(authority, request)
    const files = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key.pem`) }
    writeFileSync(files.cert, certificatePem)
    writeFileSync(files.key, keyPem, { mode: 0o600 })
    return files
  }
  return {
    ca,
    server: await issue('server', { identity: { role: 'server', id: 'bench' }, ...addresses }),
    agent: await issue('agent', { identity: { role: 'agent', cluster: CLUSTER, name: 'bench' } }),
    client: await issue('client', { identity: { role: 'apiserver', cluster: CLUSTER } }),
  }
}
