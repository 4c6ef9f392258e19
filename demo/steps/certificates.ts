/** Step: a CA and a certificate for each role, in the demo's folder. As `culvert pki init` and `culvert pki issue` make them. */
import { join } from 'node:path'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf, type LeafRequest } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { type Files, writePair } from '../../src/pki/store.ts'

const LIFETIME_MS = 7 * DAY_MS
export const TRUST_DOMAIN = 'demo.example'
/** Every listener of the demo has this address, and the server's certificate names it. */
export const ADDRESS = '127.0.0.1'

export type Certificates = Readonly<Record<'ca' | 'server' | 'agent' | 'user', Files>>

export async function makeCertificates(folder: string): Promise<Certificates> {
  const dir = join(folder, 'pki')
  const authority = await createAuthority({ trustDomain: TRUST_DOMAIN, lifetimeMs: LIFETIME_MS })
  const issue = async (name: string, request: LeafRequest): Promise<Files> =>
    writePair(dir, name, await issueLeaf(authority, { lifetimeMs: LIFETIME_MS, ...request }), 'keep')
  return {
    ca: writePair(dir, 'ca', authority, 'keep'),
    server: await issue('server', { identity: { role: 'server', id: 'demo-server' }, ipAddresses: [ADDRESS] }),
    agent: await issue('agent', { identity: { role: 'agent', cluster: 'default', name: 'demo-agent' } }),
    user: await issue('user', { identity: { role: 'user', name: 'demo-user' } }),
  }
}
