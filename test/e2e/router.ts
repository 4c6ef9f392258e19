/** `culvert sni-router`: the one address of a hub, in front of its proxy-servers. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Running, start } from './process.ts'
import { ready } from './ready.ts'

/** The port of the one address. */
export const DOOR_PORT = 443
const HEALTH_PORT = 8096
const READY_MS = 60_000
const CULVERT = join(import.meta.dirname, '../../bin/culvert')

/** Returns when it listens. */
export async function startRouter(hub: string, folder: string, routes: readonly object[]): Promise<Running> {
  const file = join(folder, 'sni-router.json')
  writeFileSync(file, JSON.stringify({ listen: [{ port: DOOR_PORT }], routes }))
  const command = [CULVERT, 'sni-router', '--config', file]
  const router = start({ name: 'sni-router', namespace: hub, folder, command })
  await router.until(ask(hub, '/readyz'))
  return router
}

export const routerMetrics = (hub: string): Promise<string> => ask(hub, '/metrics')

const ask = (hub: string, path: string): Promise<string> =>
  ready(hub, `http://127.0.0.1:${HEALTH_PORT}${path}`, READY_MS)
