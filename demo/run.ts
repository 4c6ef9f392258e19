/** The life of the demo: its steps, the time that it stays up, and the end, after which nothing of it is left. */
import type { Output } from './output.ts'
import { play } from './play.ts'
import { createScene } from './scene.ts'

const SHOWN_LINES = 10

export type DemoOptions = {
  /** Ends after the last step instead of staying up. */
  readonly once: boolean
  readonly output: Output
  /** Aborted by whoever wants the demo to end, at any time; for a signal, the reason is its name. */
  readonly controller: AbortController
}

/** `stopped`: by a signal, before all steps were done. In each case every process has ended and every file is gone. */
export type Outcome = 'done' | 'stopped' | 'failed'

export async function runDemo({ once, output, controller }: DemoOptions): Promise<Outcome> {
  let doing = 'start'
  let outcome: Outcome = 'stopped'
  const said = new Map<string, string>()
  try {
    await using resources = new AsyncDisposableStack()
    const scene = resources.use(createScene(controller, said))
    await play(scene, resources, output, async (title, work, report) => {
      doing = title
      scene.life.throwIfAborted()
      const startMs = performance.now()
      const made = await work()
      output.step(title, performance.now() - startMs, report(made))
      return made
    })
    outcome = 'done'
    if (!once) {
      doing = 'staying up'
      output.block('Up until Ctrl-C, which leaves nothing behind.', [])
      await aborted(scene.life)
    }
  } catch (error) {
    if (typeof error !== 'string') {
      output.failure(doing, (error instanceof Error ? error.message : String(error)).split('\n'))
      for (const [program, text] of said) {
        output.block(`The last that ${program} said:`, text.trimEnd().split('\n').slice(-SHOWN_LINES))
      }
      outcome = 'failed'
    }
  }
  const why = controller.signal.aborted && outcome !== 'failed' ? `${controller.signal.reason}: ` : ''
  output.block(`${why}every process has ended and every file is gone.`, [])
  return outcome
}

/** @throws the reason */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
