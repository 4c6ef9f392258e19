/** Our server with a number of workers, our agent: what another worker brings is measured beside one. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Skipped } from '../skipped.ts'
import { culvertOf } from './culvert.ts'
import { pair } from './pair.ts'
import type { Peer } from './peer.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const FLAG = '--workers'

export function withWorkers(count: number): Peer {
  const { server, agent } = culvertOf(CHECKOUT, undefined, [`${FLAG}=${count}`])
  const peer = pair(count === 1 ? '1 worker' : `${count} workers`, `ours with ${FLAG}=${count}`, server, agent)
  return {
    ...peer,
    async start(how) {
      const { stdout } = await promisify(execFile)(join(CHECKOUT, 'bin/proxy-server'), ['--help'])
      if (!stdout.includes(`${FLAG} `)) throw new Skipped(`this proxy-server has no ${FLAG}`)
      return peer.start(how)
    },
  }
}
