/** The identities of a hub, made as an operator makes them: by `culvert pki`, `culvert token` and `culvert clusters`. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificate } from './pki.ts'

const run = promisify(execFile)
const CULVERT = join(import.meta.dirname, '../../bin/culvert')
export const TRUST_DOMAIN = 'hub.example'

/** What the command prints. @throws Error with what it says when it fails */
export async function culvert(...args: readonly string[]): Promise<string> {
  return (await run(CULVERT, args)).stdout
}

export type Authority = {
  readonly dir: string
  readonly ca: Certificate
  /** `culvert pki issue <role> <name> …`; into the folder of the CA, or that of `--out`, which gets a copy of `ca.crt` then. */
  issue(role: 'server' | 'agent' | 'apiserver', name: string, ...flags: readonly string[]): Promise<Certificate>
}

export async function makeAuthority(dir: string): Promise<Authority> {
  await culvert('pki', 'init', '--trust-domain', TRUST_DOMAIN, '--dir', dir)
  const pair = (name: string, folder: string): Certificate => ({
    cert: join(folder, `${name}.crt`),
    key: join(folder, `${name}.key`),
  })
  return {
    dir,
    ca: pair('ca', dir),
    async issue(role, name, ...flags) {
      await culvert('pki', 'issue', role, name, ...flags, '--dir', dir)
      const out = flags.indexOf('--out')
      return pair(name, out < 0 ? dir : (flags[out + 1] ?? dir))
    },
  }
}
