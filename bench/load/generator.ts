/** The load, a process of its own: does what the benchmark calls for, against one frontend at a time. */
import { download, upload } from './bulk.ts'
import { answerCalls } from './control.ts'
import { dials, roundTrips } from './exchanges.ts'
import { hold, release } from './hold.ts'

const commands = { download, upload, roundTrips, dials, hold, release }
export type GeneratorCommands = typeof commands

answerCalls(commands)
