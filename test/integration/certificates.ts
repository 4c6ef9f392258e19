/** A hub's CA and the certificates of all who take part, as files in a folder: made by src/pki, as `culvert pki` does. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Authority, createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { issueLeaf, type LeafRequest } from '../../src/pki/leaf.ts'
import { writePair } from '../../src/pki/store.ts'

/** PEM, and the files that hold it. */
export type Leaf = { readonly cert: string; readonly key: string; readonly certFile: string; readonly keyFile: string }

export type Pki = {
  readonly folder: string
  readonly authority: Authority
  readonly caFile: string
  readonly server: Leaf
  readonly agent: Leaf
  readonly apiserver: Leaf
  readonly issue: (name: string, request: LeafRequest, authority?: Authority) => Promise<Leaf>
}

const folders = new Set<string>()
process.once('exit', () => folders.forEach(remove)) // a file that fails before its first test has no teardown

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

/** A folder under the system's own for such things: short enough for the path of a Unix socket. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'))
  folders.add(folder)
  t.teardown(() => remove(folder))
  return folder
}

export async function makePki(t: Test): Promise<Pki> {
  const folder = temporaryFolder(t)
  const authority = await createAuthority({ trustDomain: 'hub.example' })
  const caFile = join(folder, 'ca.crt')
  writeFileSync(caFile, authority.certificatePem)
  const issue = async (name: string, request: LeafRequest, by = authority): Promise<Leaf> =>
    saveLeaf(folder, name, await issueLeaf(by, request))
  const [server, agent, apiserver] = await Promise.all([
    issue('server', {
      identity: { role: 'server', id: 'hub-0' },
      dnsNames: ['hub.example'],
      ipAddresses: ['127.0.0.1'],
    }),
    issue('agent', { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } }),
    issue('apiserver', { identity: { role: 'apiserver', cluster: 'eu-1' } }),
  ])
  return { folder, authority, caFile, server, agent, apiserver, issue }
}

export function saveLeaf(folder: string, name: string, pair: CertificateAndKey): Leaf {
  const { certificateFile, keyFile } = writePair(folder, name, pair, 'replace')
  return { cert: pair.certificatePem, key: pair.keyPem, certFile: certificateFile, keyFile }
}
