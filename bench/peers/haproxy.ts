/** HAProxy as the front door, by the configuration of docs/front-door.md: what those have who had one before. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/programs/free-port.ts'
import { haproxyConfig, hasHaproxy } from '../../test/programs/haproxy.ts'
import { accepts, startProgram, untilReady } from '../processes.ts'
import { Skipped } from '../skipped.ts'
import { type Behind, type Door, NOBODY, through } from './front-door.ts'
import type { PeerStart } from './peer.ts'

const NAME = 'haproxy'

export const throughHaproxy = through('ours+haproxy', 'ours, all connections over TLS through HAProxy', startHaproxy)

async function startHaproxy({ folder, places }: PeerStart, { agents, clients }: Behind): Promise<Door> {
  if (!(await hasHaproxy())) throw new Skipped('haproxy is not installed')
  const [config, port] = [join(folder, 'haproxy.cfg'), await freePort()]
  const text = haproxyConfig({
    listen: `:${port}`, // clients come by loopback, agents by the way to it
    name: places.hubName,
    clusters: [
      { agents, frontends: clients },
      { agents: NOBODY, frontends: NOBODY },
    ],
  })
  writeFileSync(config, text)
  await using stack = new AsyncDisposableStack()
  const program = stack.use(
    startProgram({
      name: NAME,
      place: places.door,
      command: NAME,
      args: ['-db', '-f', config],
      logFile: join(folder, `${NAME}.log`),
      graceMs: 0, // at SIGTERM it would wait for what is open
    }),
  )
  await untilReady(program, NAME, () => accepts(places.door, port))
  stack.move()
  return { ...program, port }
}
