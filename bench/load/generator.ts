/** The load, a process of its own: does what the benchmark calls for, against one frontend at a time. */
import { download, upload } from './bulk.ts'
import { answerCalls } from './control.ts'
import { dials, roundTrips } from './exchanges.ts'
import { endFlood, flood } from './flood.ts'
import { hold, release } from './hold.ts'
import { takeThenClose, writeThenClose } from './write-then-close.ts'

const commands = { download, upload, roundTrips, dials, flood, endFlood, hold, release, writeThenClose, takeThenClose }
export type GeneratorCommands = typeof commands

answerCalls(commands)
