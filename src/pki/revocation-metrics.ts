/** What Prometheus is told of the revocation lists in use. */
import type { Registry } from 'prom-client'
import { labelledGauge } from '../platform/tallies.ts'
import type { CrlFile } from './crl-file.ts'

/** @param prefix of the program: `culvert_server_` */
export function createRevocationMetrics(registry: Registry, prefix: string, files: readonly CrlFile[]): void {
  const gauge = (
    name: string,
    help: string,
    read: (file: CrlFile) => number | undefined,
    merged: 'min' | 'max',
  ): void => labelledGauge(registry, `${prefix}${name}`, help, 'flag', () => byFlag(files, read), merged)
  gauge('revoked_certificates', 'Certificates that are revoked, by flag.', ({ current }) => current().count, 'max')
  const unknown = 'Revocation lists of a file that no CA of the bundle has signed, by flag.'
  gauge('crl_lists_of_unknown_cas', unknown, ({ current }) => current().strangers, 'max')
  const end = 'Seconds until the first revocation list of a file expires, by flag.'
  gauge('crl_expiry_seconds', end, ({ endSeconds }) => endSeconds(), 'min')
  const broken = '1 while a file of revocation lists is broken and the ones before are in use.'
  gauge('crl_files_broken', broken, ({ isBroken }) => (isBroken() ? 1 : 0), 'max')
}

function byFlag(files: readonly CrlFile[], read: (file: CrlFile) => number | undefined): Record<string, number> {
  const figures: Record<string, number> = {}
  for (const file of files) {
    const figure = read(file)
    if (figure !== undefined) figures[file.flag.slice(2)] = figure
  }
  return figures
}
