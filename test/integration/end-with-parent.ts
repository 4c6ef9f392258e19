/**
 * Loaded into each program that a test starts: ends it when the test's process has ended, however that came about. The
 * test holds the other end of its standard input and never writes.
 */
import { Socket } from 'node:net'

const parent = new Socket({ fd: 0 })
parent.on('close', () => process.kill(process.pid, 'SIGKILL'))
parent.resume()
parent.unref()
