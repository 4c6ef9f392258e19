/**
 * Lanes: further TLS connections of a session, for bulk. The agent opens one with a token that the server gave it over the
 * stream, and shows it first; the server answers, after which both may send frames, the agent first.
 *
 *   agent → server   version | 16 bytes of token            server → agent   version | verdict
 *
 * Each side ends its own when it has nothing more to send, as TCP does. Source: docs/protocol.md section 10.
 */
import { Buffer } from 'node:buffer'
import { type ByteCarrier, type ByteCarrierOptions, carryOver } from './byte-carrier.ts'
import { laneDecoder, laneFraming } from './lane-frames.ts'

export const LANE_ALPN = 'culvert-lane/1'
export const TOKEN_BYTES = 16
export const HELLO_BYTES = 1 + TOKEN_BYTES
const ANSWER_BYTES = 2
const VERSION = 1
const WELCOME = 0
const UNKNOWN_TOKEN = 1

/** A connection to carry a lane: half-open, so that either side may end first. */
export type LaneOptions = Omit<ByteCarrierOptions, 'framing' | 'decoder'>

export const writeHello = (token: Uint8Array): Buffer => Buffer.concat([Buffer.of(VERSION), token])

/** @returns the token; `undefined` for what is no hello */
export const readHello = (bytes: Buffer): Buffer | undefined =>
  bytes[0] === VERSION ? bytes.subarray(1, HELLO_BYTES) : undefined

/** What a server says that does not know the token: another one behind the same name may. */
export const refusal = Buffer.of(VERSION, UNKNOWN_TOKEN)

/** The server's end, after a good hello. */
export function serveLane(options: LaneOptions): ByteCarrier {
  options.stream.write(Buffer.of(VERSION, WELCOME))
  return carryLane(options)
}

/** The agent's end, on a connection that is there: shows the token and waits. The caller bounds the wait. */
export function joinLane(
  options: LaneOptions,
  token: Uint8Array,
  { joined, refused }: { readonly joined: (lane: ByteCarrier) => void; readonly refused: () => void },
): void {
  const { stream, failed } = options
  let answer: Buffer = Buffer.alloc(0)
  stream.write(writeHello(token))
  stream.on('data', read)

  function read(chunk: Buffer): void {
    answer = Buffer.concat([answer, chunk])
    if (answer.length < ANSWER_BYTES) return
    stream.off('data', read)
    stream.pause()
    if (answer[0] !== VERSION) return failed(new Error('the server answered with another version of lanes'))
    if (answer[1] !== WELCOME) return refused()
    if (answer.length > ANSWER_BYTES) stream.unshift(answer.subarray(ANSWER_BYTES))
    joined(carryLane(options))
    stream.resume()
  }
}

function carryLane(options: LaneOptions): ByteCarrier {
  const { stream, session } = options
  const lane = carryOver({ ...options, framing: laneFraming, decoder: laneDecoder })
  stream.once('end', () => {
    session.ended(lane)
    lane.end()
  })
  stream.once('close', () => session.lost(lane, 'the lane is gone'))
  return lane
}
