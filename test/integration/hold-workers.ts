/** Loaded into a server: its workers do not begin to start before the file is there that HELD_UNTIL names. */
import { existsSync } from 'node:fs'

const LOOK_MS = 10
const file = process.env.HELD_UNTIL ?? ''
const clock = new Int32Array(new SharedArrayBuffer(4))

if (process.send) while (!existsSync(file)) Atomics.wait(clock, 0, 0, LOOK_MS)
