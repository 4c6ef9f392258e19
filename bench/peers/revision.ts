/** Ours at a commit, from a clone of its own: what a change costs is measured beside what was there before it. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { culvertOf } from './culvert.ts'
import { pair } from './pair.ts'
import type { Peer } from './peer.ts'

const run = promisify(execFile)
const CHECKOUT = join(import.meta.dirname, '../..')
/** Stands for this checkout as it is, with what is not committed. */
export const AS_IT_IS = '.'

/** @param revision whatever git takes for a commit, or `.` */
export function revision(name: string, from: string = CHECKOUT): Peer {
  if (name === AS_IT_IS) {
    const { server, agent } = culvertOf(from)
    return pair(name, 'this checkout as it is', server, agent)
  }
  const what = `proxy-server and proxy-agent at ${name}`
  let prepared: Peer | undefined
  return {
    name,
    what,
    async prepare(folder) {
      const clone = await cloneOf(name, from, folder)
      const { server, agent } = culvertOf(clone)
      prepared = pair(name, what, server, agent)
    },
    start(how) {
      if (!prepared) throw new Error(`${name} was not prepared`)
      return prepared.start(how)
    },
  }
}

/**
 * Puts the files of a commit into a folder of its own, with the packages it asks for.
 *
 * @throws Error when there is no such commit
 */
export async function cloneOf(revision: string, from: string, folder: string): Promise<string> {
  const commit = await run('git', ['rev-parse', '--verify', '--quiet', '--end-of-options', `${revision}^{commit}`], {
    cwd: from,
  }).catch(() => {
    throw new Error(`compare: no commit "${revision}" in ${from}; name a branch, a tag or a hash, or ${AS_IT_IS}`)
  })
  const sha = commit.stdout.trim()
  const clone = join(folder, sha)
  if (existsSync(clone)) return clone // the same commit by two names
  await mkdir(folder, { recursive: true })
  await run('git', ['clone', '--quiet', '--shared', '--no-checkout', from, clone])
  await run('git', ['-c', 'advice.detachedHead=false', 'checkout', '--quiet', '--detach', sha], { cwd: clone })
  const lock = (checkout: string): string => readFileSync(join(checkout, 'package-lock.json'), 'utf8')
  if (lock(clone) === lock(from)) symlinkSync(join(from, 'node_modules'), join(clone, 'node_modules'))
  else await run('npm', ['ci', '--no-audit', '--no-fund'], { cwd: clone })
  return clone
}
