/** What all steps of a demo share: its folder, and the one signal that ends every wait. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Longest wait for any one thing: milliseconds. A busy machine takes a tenth of it. */
const WAIT_MS = 30_000
const ASK_EVERY_MS = 20

/** Where the launchers of the programs are, and what they find in their environment. */
export type Launchers = { readonly folder: string; readonly env: NodeJS.ProcessEnv }

/** Those of this checkout, told to take the Node that runs this. */
const ours: Launchers = {
  folder: join(import.meta.dirname, '../bin'),
  env: { ...process.env, CULVERT_NODE: process.execPath },
}

export type Scene = {
  /** Holds all files of the demo; ends with it. */
  readonly folder: string
  /** Aborted when the demo is to end, with the reason: a signal's name, or the error of what broke. */
  readonly life: AbortSignal
  readonly end: (reason: unknown) => void
  /** The end of what each program has said, by its name: shown when something fails. */
  readonly said: Map<string, string>
  readonly launchers: Launchers
}

/** The caller owns it: disposing removes the folder. */
export function createScene(
  controller: AbortController,
  said: Scene['said'],
  launchers: Launchers = ours,
): Scene & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-demo-'))
  return {
    folder,
    life: controller.signal,
    end: (reason) => controller.abort(reason),
    said,
    launchers,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/**
 * Does something that can wait, within the demo's life.
 *
 * @param what for the message when it takes too long: "the first heartbeat"
 * @throws the reason for which the demo ends, when it does so first
 */
export async function within<T>(
  { life }: Pick<Scene, 'life'>,
  what: string,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = AbortSignal.timeout(WAIT_MS)
  try {
    return await work(AbortSignal.any([life, late]))
  } catch (cause) {
    if (life.aborted) throw life.reason
    if (late.aborted) throw new Error(`waited ${WAIT_MS / 1000} s in vain for ${what}`, { cause })
    throw cause
  }
}

/** Asks again and again, until the answer is no longer undefined. */
export async function poll<T>(signal: AbortSignal, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await delay(ASK_EVERY_MS, undefined, { signal })
  }
}
