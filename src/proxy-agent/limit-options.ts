/** The heartbeats, deadlines and limits of proxy-agent as flags. Source of their defaults: docs/protocol.md, sections 6, 7 and 9. */
import { bytes, duration } from '../platform/option-types.ts'

const lifetime = { group: 'Heartbeats and lifetime' }
export const lifetimeOptions = {
  heartbeatIntervalMs: duration({ ...lifetime, default: '5s', min: 1, help: 'Time between two heartbeats.' }),
  heartbeatTimeoutMs: duration({
    ...lifetime,
    default: '12s',
    min: 1,
    help: 'Silence after which the server is dead; at least twice --heartbeat-interval.',
  }),
  drainTimeoutMs: duration({
    ...lifetime,
    default: '25s',
    help: 'Longest time for open connections to end after SIGTERM.',
  }),
  drainQuietTimeMs: duration({
    ...lifetime,
    default: '2s',
    help: 'After SIGTERM the agent leaves a server when nothing is open and that one has asked for no connection for this long.',
  }),
}

const limiting = { group: 'Limits' }
export const limitOptions = {
  endpointDialTimeoutMs: duration({
    ...limiting,
    default: '5s',
    min: 1,
    help: 'Longest wait for a target to accept, its name resolved.',
  }),
  maxMessageBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 1_024,
    max: 268_435_456,
    help: 'Longest message of the server.',
  }),
  streamBufferBytes: bytes({
    ...limiting,
    default: '64MiB',
    min: 1_048_576,
    help: 'Bytes held for all connections of one server.',
  }),
  processBufferBytes: bytes({ ...limiting, default: '256MiB', min: 1_048_576, help: 'Bytes held in all, both ways.' }),
  slowConsumerBytes: bytes({
    ...limiting,
    default: '640KiB',
    min: 1,
    help: 'A target over its buffer, from a stock server, that takes less than this is hung up.',
  }),
  slowConsumerTimeMs: duration({ ...limiting, default: '10s', min: 1, help: 'The time in which it has to take that.' }),
  connectionBufferBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 65_536,
    help: 'Bytes held for one connection through a stock server.',
  }),
}
