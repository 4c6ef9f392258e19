/**
 * All of the load: two generators and two targets, each a process. What is measured for its latency (`light`) shares no
 * event loop with what keeps the tunnel busy (`heavy`), so a wait that shows up is the tunnel's.
 */
import { join } from 'node:path'
import { oneMachine, type Places } from '../places.ts'
import { type Remote, startRemote } from './control.ts'
import type { GeneratorCommands } from './generator.ts'
import type { Services, TargetCommands } from './target.ts'

export type Side = {
  readonly generator: Remote<GeneratorCommands>
  readonly target: Remote<TargetCommands>
  readonly services: Services
}
export type Load = AsyncDisposable & { readonly light: Side; readonly heavy: Side }

/** The generators stand where the clients are, beside the server; the targets beside the agent. */
export async function startLoad({ hub, cell }: Places = oneMachine): Promise<Load> {
  await using stack = new AsyncDisposableStack()
  const start = async (): Promise<Side> => {
    const generator = startRemote<GeneratorCommands>(join(import.meta.dirname, 'generator.ts'), hub.enter)
    stack.defer(generator.stop)
    const target = startRemote<TargetCommands>(join(import.meta.dirname, 'target.ts'), cell.enter)
    stack.defer(target.stop)
    return { generator, target, services: await target.call('services', undefined) }
  }
  const [light, heavy] = await Promise.all([start(), start()])
  const running = stack.move()
  return { light, heavy, [Symbol.asyncDispose]: () => running.disposeAsync() }
}
