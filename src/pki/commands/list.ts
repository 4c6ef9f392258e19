/** `culvert pki list`: which certificates expire when. */
import type { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Command } from '../../platform/command-line.ts'
import { TunnelError } from '../../platform/errors.ts'
import { chainTo } from '../chain.ts'
import { readCrls } from '../crl.ts'
import { LIFETIME_EXPECTED, parseLifetime } from '../lifetime.ts'
import { readCertificates, readPem, reason, splitCertificates } from '../pem.ts'
import { createRevocations } from '../revocations.ts'
import { type CertificateSummary, identityText, summarize } from '../summary.ts'
import { AUTHORITY_FOLDER, outputFlag, trustDomainFlag } from './flags.ts'

const CERTIFICATE_FILE = /\.(?:crt|cer|pem)$/
const LIST_FILE = 'crl.pem'

type State = 'good' | 'expired' | 'revoked' | 'not yet valid'
type Row = CertificateSummary & { readonly file: string; readonly state: State }

export const list: Command = {
  usage: 'list [folder|file]... [flags]',
  summary: 'List which certificates expire when.',
  about: [
    'Every certificate of the files, and of the .crt, .cer and .pem files of the folders, the one that expires first on top; of the',
    'folder "pki" when none is named. One that is on crl.pem in the folder of its CA is shown as revoked.',
  ],
  flags: {
    within: {
      takes: 'duration',
      help: 'Only what expires within this time, or has: 30d, 12h. The exit code is 1 if there is any.',
      problem: (text) => (parseLifetime(text) === undefined ? LIFETIME_EXPECTED : undefined),
    },
    'trust-domain': trustDomainFlag('Read roles from URIs of this trust domain only.'),
    output: outputFlag,
  },
  examples: [
    'culvert pki list',
    'culvert pki list --within 30d /etc/culvert/pki /etc/kubernetes/pki',
    'culvert pki list -o json | jq -r \'.[] | select(.state != "good") | .file\'',
  ],
  run: async (given, problems, nowUnixMs) => {
    if (problems.length > 0) return { kind: 'refused', problems }
    const warnings: string[] = []
    const attempt = <T>(read: () => readonly T[]): readonly T[] => {
      try {
        return read()
      } catch (error) {
        if (!(error instanceof TunnelError)) throw error
        warnings.push(error.message)
        return []
      }
    }
    const named = given.words.length > 0 ? given.words : [AUTHORITY_FOLDER]
    // What holds a key or parameters only is no mistake in a folder.
    const holdsAny = (file: string): boolean => attempt(() => splitCertificates(readPem(file))).length > 0
    const files = named.flatMap((path) =>
      attempt(() => filesOf(path)).filter((file) => file === path || holdsAny(file)),
    )
    const found = files.flatMap((file) =>
      attempt(() => readCertificates(file).map((certificate) => ({ file, certificate }))),
    )
    const folders = [...new Set(files.map((file) => dirname(file)))]
    const isRevoked = revokedBy(
      folders.flatMap((folder) => attempt(() => listsOf(folder))),
      found.map(({ certificate }) => certificate),
    )
    const withinMs = parseLifetime(given.value('within') ?? '')
    const rows = found
      .map(({ file, certificate }): Row => {
        const state = stateOf(certificate, isRevoked(certificate), nowUnixMs)
        return { file, state, ...summarize(certificate, nowUnixMs, given.value('trust-domain')) }
      })
      .filter(({ notAfter }) => withinMs === undefined || Date.parse(notAfter) <= nowUnixMs + withinMs)
      .toSorted((a, b) => Date.parse(a.notAfter) - Date.parse(b.notAfter))
    const json = given.value('output') === 'json'
    const failed = warnings.length > 0 || (withinMs !== undefined && rows.length > 0)
    return { kind: failed ? 'failed' : 'done', lines: json ? [jsonOf(rows)] : table(rows), warnings }
  },
}

/** What may be the certificate files of a folder; a file is itself. */
function filesOf(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter((name) => CERTIFICATE_FILE.test(name) && name !== LIST_FILE)
    return names.map((name) => join(path, name))
  } catch (cause) {
    throw new TunnelError('bad-option', `${path}: cannot be read: ${reason(cause)}`, { cause })
  }
}

function listsOf(folder: string): ReturnType<typeof readCrls> {
  const file = join(folder, LIST_FILE)
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch {
    return [] // most have none
  }
  try {
    return readCrls(bytes)
  } catch (cause) {
    throw new TunnelError('bad-option', `${file}: ${(cause as Error).message}`, { cause })
  }
}

function revokedBy(
  lists: ReturnType<typeof readCrls>,
  known: readonly X509Certificate[],
): (one: X509Certificate) => boolean {
  const authorities = known.filter(({ ca }) => ca)
  const loaded = createRevocations(lists, []) // a list of no CA that is here counts for nobody, which is no mistake here
  return (one) => {
    const chain = chainTo(one, authorities)
    return chain !== undefined && loaded.ok && loaded.revocations.find(chain) !== undefined
  }
}

function stateOf({ validFromDate, validToDate }: X509Certificate, isRevoked: boolean, nowUnixMs: number): State {
  if (isRevoked) return 'revoked'
  if (validToDate.getTime() < nowUnixMs) return 'expired'
  return validFromDate.getTime() > nowUnixMs ? 'not yet valid' : 'good'
}

function jsonOf(rows: readonly Row[]): string {
  const flat = rows.map(({ identity, ...row }) => ({ ...row, ...identity }))
  return JSON.stringify(flat, undefined, 2)
}

function table(rows: readonly Row[]): readonly string[] {
  if (rows.length === 0) return []
  const cells = [
    ['EXPIRES', 'DAYS', 'STATE', 'WHO', 'FILE'],
    ...rows.map((row) => [row.notAfter, String(row.daysLeft), row.state, whoOf(row), row.file]),
  ]
  const widths = cells[0]?.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0))) ?? []
  return cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function whoOf({ isAuthority, identity, subject }: Row): string {
  if (isAuthority) return `CA ${subject}`
  return identity.role === 'none' ? subject : identityText(identity)
}
