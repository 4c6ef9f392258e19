/** Secrets that a test plants, and the search for them in whatever a program has said, in any form in which bytes are usually shown. */
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { fetchFrom } from './figures.ts'
import type { Program } from './program.ts'
import { workerPids } from './workers.ts'

const MARK = '5bd1e995'

/** One for each place. A host name and a token as well: whatever is planted is taken for what it seems to be. */
export const canary = (where: string): string => `canary-${where}-${MARK}`

/** The whole groups of base64 that depend on nothing but the mark, where so many bytes are before it. */
const base64Behind = (bytes: number): string =>
  Buffer.from(' '.repeat(bytes) + MARK)
    .toString('base64')
    .slice(Math.ceil((bytes * 4) / 3), Math.floor(((bytes + MARK.length) * 4) / 3))
const CANARY = new RegExp(
  [
    `[a-z-]*${MARK}`,
    [...Buffer.from(MARK)].map((byte) => byte.toString(16)).join(' ?'),
    [...Buffer.from(MARK)].join(',\\s*(?:"\\d+":)?'),
    ...[0, 1, 2].map(base64Behind),
  ].join('|'),
  'gi',
)

export const canariesIn = (text: string): string[] => text.match(CANARY) ?? []

/** Pieces of a private key in any usual form, long enough to be nothing else, and short enough to be found where it was cut. */
export function piecesOf(pem: string): string[] {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
  const lines = pem.split('\n').filter((line) => line.length > 40 && !line.startsWith('-----'))
  return [
    ...lines.flatMap((line) => line.match(/.{20}/g) ?? []),
    der.toString('hex').slice(-40),
    der.toString('base64').slice(-40),
  ]
}

/** By where it was said. */
export type Said = Readonly<Record<string, string>>

/** @param secrets that have no mark. Where one was found is told, not the secret: the output of a test is read by many */
export function holdsNoSecret(t: Test, said: Said, secrets: readonly string[]): void {
  for (const [where, text] of Object.entries(said)) {
    t.strictSame(canariesIn(text), [], where)
    t.notOk(
      secrets.some((secret) => text.includes(secret)),
      `${where} has no secret`,
    )
  }
}

/** What everybody on the machine can see of it: the arguments of the program and of its workers. */
export const argumentsOf = (program: Program): string =>
  [program.pid, ...workerPids(program)].map((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1')).join('\n')

/** The answers of its ports to one who shows secrets. @param headers sent besides */
export async function endpointsOf(name: string, ports: readonly number[], headers = {}): Promise<Said> {
  const paths = [
    '/metrics',
    '/healthz',
    '/readyz?verbose',
    `/v1/clusters?token=${canary('query')}`,
    `/v1/clusters/${canary('cluster')}`,
    `/${canary('path')}`,
  ]
  const asked = ports.flatMap((port, index) => paths.map((path) => [port, path, index] as const))
  const said = await Promise.all(
    asked.map(async ([port, path, index]): Promise<[string, string]> => {
      const response = await fetchFrom(port, path, {
        headers: { Authorization: `Bearer ${canary('admin')}`, Cookie: canary('cookie'), ...headers },
      })
      return [`${name}, port ${index}, ${path}`, `${JSON.stringify([...response.headers])}${await response.text()}`]
    }),
  )
  return Object.fromEntries(said)
}

/** Fields of a head, as a client of HTTP sends them. */
const secretHeaders = ['Authorization', 'Proxy-Authorization', 'Cookie', 'X-Api-Key']
  .map((name) => `${name}: Bearer ${canary(name.toLowerCase())}\r\n`)
  .join('')
export const withSecrets = (head: string): string => head.replace(/\r\n\r\n$/, `\r\n${secretHeaders}\r\n`)
