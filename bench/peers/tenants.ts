/** Our server with many clusters, and our agent in one of them: 99 others are idle, and one may flood it. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { CLUSTER, makeHub } from '../certificates.ts'
import { Skipped } from '../skipped.ts'
import { culvertOf } from './culvert.ts'
import { pair } from './pair.ts'
import type { Peer } from './peer.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const FLAG = '--tenancy'
const IDLE = Array.from({ length: 99 }, (_, number) => `idle-${number}`)
const FLOOD = 'flood'
/** Where its clients come from. */
export const FLOOD_ADDRESS = '127.0.0.2'
/** Of the cluster that floods. */
const LIMITS = 'limits: {clients: 200, connections: 200, pendingDials: 50, dialsPerSecond: 50}'

export const withClusters: Peer = {
  name: 'many clusters',
  what: `ours with ${FLAG}=multi`,
  prepare: async () => undefined,
  async start(how) {
    const { stdout } = await promisify(execFile)(join(CHECKOUT, 'bin/proxy-server'), ['--help'])
    if (!stdout.includes(`${FLAG} `)) throw new Skipped(`this proxy-server has no ${FLAG}`)
    const { certificates, tenants } = await makeHub(how.folder, [FLOOD, ...IDLE])
    const file = join(how.folder, 'clusters.yaml')
    writeFileSync(
      file,
      [
        `id: ${FLOOD}\nfrontends: {addresses: [${FLOOD_ADDRESS}]}\n${LIMITS}`,
        ...[CLUSTER, ...IDLE].map((id) => `id: ${id}`),
        '',
      ].join('\n---\n'),
    )
    const { server, agent } = culvertOf(CHECKOUT, undefined, [`${FLAG}=multi`, `--clusters=${file}`])
    const running = await pair(this.name, this.what, server, agent).start({ ...how, certificates })
    const [flood, ...idle] = tenants
    return { ...running, neighbours: { flood: flood!, idle: idle.map((tenant) => tenant.agent) } }
  },
}
