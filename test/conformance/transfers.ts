/** Cases in which nobody closes before the other has all: a word, much, many at once, and a client that only ends its side. */
import { randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import { echoOver, readAll, readBytes } from '../integration/client.ts'
import { DEADLINE_MS, eventually, within } from '../integration/deadline.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { expectedHash, receiveAll, receivePattern, sendAll, sendPattern } from '../integration/transfer.ts'
import { type Ask, open } from './frontend.ts'

const MEBIBYTE = 1024 * 1024
const BULK_BYTES = 64 * MEBIBYTE
const HASH_CHARACTERS = 64
const AT_ONCE = 200
const AT_ONCE_BYTES = 4_096
const HALF_CLOSES = 20
const GREETING = '220 ready'
/** Where some are lost, which never come: an end of the wait for each. */
const LOST_MS = 1_000

export async function echoes(t: Test, ask: Ask): Promise<string> {
  const target = await listenTarget(t, echo)
  const socket = await open(ask, target.address)
  for (const bytes of [1, 1_000, 100_000]) await echoOver(socket, 'e'.repeat(bytes))
  socket.destroy()
  return 'ok'
}

/** Both ways at the same time, over one connection. The client begins, and nobody has to end for the other to know. */
export async function carriesBulk(t: Test, ask: Ask): Promise<string> {
  const target = await listenTarget(t, (socket) => {
    socket.once('data', (begin: Buffer) => {
      if (begin.length > 1) socket.unshift(begin.subarray(1))
      const both = [receivePattern(socket, BULK_BYTES), sendPattern(socket, BULK_BYTES)] as const
      Promise.all(both).then(
        ([hash]) => socket.write(hash),
        () => undefined, // the client misses the hash
      )
    })
  })
  const socket = await open(ask, target.address)
  socket.write('?')
  const [down] = await Promise.all([receivePattern(socket, BULK_BYTES), sendPattern(socket, BULK_BYTES)])
  const up = (await readBytes(socket, HASH_CHARACTERS)).toString()
  socket.destroy()
  if (down !== expectedHash(BULK_BYTES)) return 'other bytes came than the target sent'
  return up === down ? 'ok' : 'other bytes reached the target than the client sent'
}

/** All are open before the first is used, and none is at the target when all have been closed. */
export async function carriesManyAtOnce(t: Test, ask: Ask): Promise<string> {
  const target = await listenTarget(t, echo)
  const sockets = await Promise.all(Array.from({ length: AT_ONCE }, () => open(ask, target.address)))
  await eventually(
    'all have been accepted',
    () => target.sockets.size,
    (open) => open === AT_ONCE,
  )
  const right = await Promise.all(
    sockets.map(async (socket) => {
      const sent = randomBytes(AT_ONCE_BYTES)
      const back = readBytes(socket, AT_ONCE_BYTES)
      socket.write(sent)
      return sent.equals(await back)
    }),
  )
  for (const socket of sockets) socket.destroy()
  await eventually(
    'no connection is left at the target',
    () => target.sockets.size,
    (open) => open === 0,
  )
  return right.every((one) => one) ? 'ok' : `${right.filter((one) => !one).length} of ${AT_ONCE} got other bytes back`
}

/** A client that has sent all it has, and waits for the answer that a target gives when it has read to the end. */
export async function closesHalf(t: Test, ask: Ask): Promise<string> {
  const target = await listenTarget(t, async (socket) => {
    const { hash } = await receiveAll(socket).catch(() => ({ hash: 'broken' }))
    socket.end(hash)
  })
  let lost = 0
  for (let round = 0; round < HALF_CLOSES; round++) {
    const socket = await open(ask, target.address)
    await sendAll(socket, MEBIBYTE)
    const answer = await readAll(socket).catch(() => Buffer.alloc(0))
    if (answer.toString() !== expectedHash(MEBIBYTE)) lost++
    socket.destroy()
  }
  return lost === 0 ? 'ok' : `${lost} of ${HALF_CLOSES} lost`
}

/**
 * A target that does not wait to be asked: kube-apiserver takes its bytes only when they come apart from the answer.
 *
 * @param mayLose some greetings are expected to be lost; else each is waited for however late it is
 */
export async function targetSpeaksFirst(t: Test, ask: Ask, rounds: number, mayLose: boolean): Promise<string> {
  const waitMs = mayLose ? LOST_MS : DEADLINE_MS
  const target = await listenTarget(t, (socket) => socket.write(GREETING))
  let lost = 0
  for (let round = 0; round < rounds; round++) {
    const answer = await ask(target.address)
    if (answer.kind === 'refused') throw new Error(answer.says)
    const { socket, together } = answer
    const said = await within(readBytes(socket, GREETING.length), 'a greeting', waitMs).catch(() => '')
    if (together || said.toString() !== GREETING) lost++
    socket.destroy()
  }
  return lost === 0 ? 'ok' : `${lost} of ${rounds} lost`
}
