/** What Prometheus is told of the revocation lists in use. */
import type { Registry } from 'prom-client'
import { labelledGauge } from '../platform/tallies.ts'
import type { CrlFiles } from './crl-files.ts'

export function createRevocationMetrics(
  registry: Registry,
  files: Pick<CrlFiles, 'broken' | 'endSeconds' | 'counts' | 'strangers'>,
): void {
  const gauge = (name: string, help: string, read: () => Record<string, number>, merged: 'min' | 'max'): void =>
    labelledGauge(registry, name, help, 'flag', read, merged)
  gauge('culvert_server_revoked_certificates', 'Certificates that are revoked, by flag.', files.counts, 'max')
  const unknown = 'Revocation lists of a file that no CA of the bundle has signed, by flag.'
  gauge('culvert_server_crl_lists_of_unknown_cas', unknown, files.strangers, 'max')
  const end = 'Seconds until the first revocation list of a file expires, by flag.'
  gauge('culvert_server_crl_expiry_seconds', end, files.endSeconds, 'min')
  const broken = '1 while a file of revocation lists is broken and the ones before are in use.'
  gauge('culvert_server_crl_files_broken', broken, files.broken, 'max')
}
