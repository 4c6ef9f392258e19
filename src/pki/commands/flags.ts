/** The flags that more than one command of `culvert pki` has. */
import type { Flag } from '../../platform/command-line.ts'
import { isClusterId, isTrustDomain } from '../identity.ts'
import { LIFETIME_EXPECTED, parseLifetime } from '../lifetime.ts'

export const AUTHORITY_FOLDER = 'pki'
/** Of a hub that serves one. */
export const DEFAULT_CLUSTER = 'default'

export const folderFlag: Flag = {
  takes: 'folder',
  default: AUTHORITY_FOLDER,
  help: 'Folder of the CA: ca.crt and ca.key.',
}

export const forceFlag: Flag = { help: 'Replace files that exist.' }

export const outputFlag: Flag = {
  takes: 'format',
  short: 'o',
  default: 'text',
  help: 'text, for people, or json, for scripts.',
  problem: (text) => (text === 'text' || text === 'json' ? undefined : 'text or json'),
}

export function lifetimeFlag(standard: string): Flag {
  return {
    takes: 'duration',
    default: standard,
    help: 'How long it is valid: 365d, 24h, 1d12h.',
    problem: (text) => (parseLifetime(text) === undefined ? LIFETIME_EXPECTED : undefined),
  }
}

export function trustDomainFlag(help: string): Flag {
  return {
    takes: 'name',
    help,
    problem: (text) =>
      isTrustDomain(text) ? undefined : 'a trust domain such as hub.example, of a-z, 0-9, ".", "-" and "_"',
  }
}

export const clusterFlag = {
  takes: 'id',
  help: 'Cluster id, a DNS label.',
  problem: (text: string) =>
    isClusterId(text) ? undefined : 'a cluster id that is a DNS label such as default or eu-1',
} satisfies Flag
