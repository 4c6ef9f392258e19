/** `culvert pki crl`: the revocation list of the CA. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from '../../platform/command-line.ts'
import { DAY_MS, LIST_LIFETIME, parseLifetime } from '../lifetime.ts'
import type { RevocationList } from '../revocation-list.ts'
import { readAuthority } from '../store.ts'
import { AUTHORITY_FOLDER, folderFlag, lifetimeFlag, outputFlag, trustDomainFlag } from './flags.ts'

export const crl: Command = {
  usage: 'crl [flags]',
  summary: "Show the CA's revocation list, or sign it anew.",
  about: [
    'The list is crl.pem beside ca.crt. It has an end, so that who reads it knows when it is out of date: let a timer run',
    'this command with --refresh, which also makes an empty list where there is none.',
  ],
  flags: {
    refresh: { help: 'Sign the list anew, with a new end.' },
    dir: folderFlag,
    lifetime: { ...lifetimeFlag(LIST_LIFETIME), help: 'With --refresh: how long the list is valid.' },
    'trust-domain': trustDomainFlag('Of a CA that was not made by culvert and names none.'),
    output: outputFlag,
  },
  examples: ['culvert pki crl', 'culvert pki crl --refresh --lifetime 7d', 'culvert pki crl -o json | jq .revoked'],
  run: async (given, problems, nowUnixMs) => {
    const found = [
      ...problems,
      ...given.words.map((word) => `${JSON.stringify(word)}: unexpected; crl takes flags only`),
    ]
    const lifetimeMs = parseLifetime(given.value('lifetime') ?? '')
    if (found.length > 0 || lifetimeMs === undefined) return { kind: 'refused', problems: found }
    const folder = given.value('dir') ?? AUTHORITY_FOLDER
    const authority = readAuthority(folder, given.value('trust-domain'))
    const { LIST_NAME, readList, updateList } = await import('../revocation-list.ts') // slow to load
    const file = join(folder, LIST_NAME)
    if (!given.isSet('refresh') && !existsSync(file)) {
      return { kind: 'failed', lines: [], warnings: [`${file}: there is none yet: --refresh makes an empty one`] }
    }
    const list = given.isSet('refresh')
      ? await updateList(folder, authority, { serials: [], lifetimeMs, nowUnixMs })
      : readList(folder, authority)
    if (!list) return { kind: 'failed', lines: [], warnings: [`${file}: went away`] }
    const json = given.value('output') === 'json'
    return {
      kind: 'done',
      lines: json ? [JSON.stringify(jsonOf(file, list, nowUnixMs), undefined, 2)] : textOf(file, list, nowUnixMs),
    }
  },
}

function jsonOf(file: string, list: RevocationList, nowUnixMs: number): object {
  return {
    file,
    number: list.number,
    thisUpdate: list.thisUpdate.toISOString(),
    nextUpdate: list.nextUpdate?.toISOString() ?? null,
    expired: isExpired(list, nowUnixMs),
    revoked: list.revoked.map(({ serialNumber, revokedAt }) => ({ serialNumber, revokedAt: revokedAt.toISOString() })),
  }
}

function textOf(file: string, list: RevocationList, nowUnixMs: number): string[] {
  return [
    `${file}: list number ${list.number}, ${list.revoked.length} revoked, valid ${validity(list, nowUnixMs)}`,
    ...list.revoked.map(({ serialNumber, revokedAt }) => `  ${serialNumber}  ${revokedAt.toISOString()}`),
  ]
}

function validity(list: RevocationList, nowUnixMs: number): string {
  const { nextUpdate } = list
  if (nextUpdate === undefined) return 'for ever'
  const left = `${Math.floor((nextUpdate.getTime() - nowUnixMs) / DAY_MS)} days left`
  const about = isExpired(list, nowUnixMs) ? 'EXPIRED: sign it anew with --refresh' : left
  return `until ${nextUpdate.toISOString()} (${about})`
}

const isExpired = ({ nextUpdate }: RevocationList, nowUnixMs: number): boolean =>
  nextUpdate !== undefined && nextUpdate.getTime() < nowUnixMs
