/** The certificates of one run of the benchmark, ECDSA P-256, in files: every peer uses the same. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority } from '../src/pki/authority.ts'
import { issueLeaf, type LeafRequest } from '../src/pki/leaf.ts'
import type { Certificates, KeyPair } from './peers/peer.ts'
import { FAR_HUB_NAME, HUB_ADDRESS } from './places.ts'

export const CLUSTER = 'default'
const addresses = { dnsNames: ['localhost', FAR_HUB_NAME], ipAddresses: ['127.0.0.1', HUB_ADDRESS] }

/** Writes into `folder`. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  return (await makeHub(folder, [])).certificates
}

/** Of an agent and of an API server. */
export type Tenant = { readonly agent: KeyPair; readonly client: KeyPair }

/** The same of a hub that has these clusters besides. */
export async function makeHub(
  folder: string,
  clusters: readonly string[],
): Promise<{ readonly certificates: Certificates; readonly tenants: readonly Tenant[] }> {
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
  const issueFor = async (cluster: string, prefix = ''): Promise<Tenant> => ({
    agent: await issue(`${prefix}agent`, { identity: { role: 'agent', cluster, name: 'bench' } }),
    client: await issue(`${prefix}client`, { identity: { role: 'apiserver', cluster } }),
  })
  const server = await issue('server', { identity: { role: 'server', id: 'bench' }, ...addresses })
  const certificates = { ca, server, ...(await issueFor(CLUSTER)) }
  const tenants: Tenant[] = []
  for (const cluster of clusters) tenants.push(await issueFor(cluster, `${cluster}-`))
  return { certificates, tenants }
}
