import type { OutgoingHttpHeaders } from 'node:http2'
import t, { type Test } from 'tap'
import {
  LONG_PATH_SESSION_WINDOW_BYTES,
  LONG_PATH_STREAM_WINDOW_BYTES,
  STREAM_WINDOW_BYTES,
} from '../../src/tunnel/http2-windows.ts'
import { eventually } from '../integration/deadline.ts'
import { agentPort, joinAgent } from './agent-port.ts'

/** An agent whose answers take that long, after so many of them that the server knows it. */
async function joinFrom(t: Test, roundTripMs: number, headers?: OutgoingHttpHeaders) {
  const port = await agentPort(t)
  const agent = await joinAgent(t, port.port, headers)
  await agent.answer
  for (const seq of [1, 2, 3]) {
    agent.send({ type: 'HEARTBEAT', seq, sentUnixMs: 0, health: {} })
    const { nonce } = await agent.next('PING')
    port.clock.advance(roundTripMs)
    agent.send({ type: 'PONG', nonce })
  }
  agent.send({ type: 'PING', nonce: 9 })
  await agent.next('PONG')
  await new Promise((resolve) => agent.http.ping(resolve)) // what the server said before has come too
  return agent.http
}

t.test('lets an agent at the end of a long path send far ahead', async (t) => {
  const http = await joinFrom(t, 20)
  await eventually(
    'wide windows',
    () => [http.remoteSettings.initialWindowSize, http.state.remoteWindowSize],
    ([ofStream, ofSession]) => ofStream === LONG_PATH_STREAM_WINDOW_BYTES && ofSession! > LONG_PATH_STREAM_WINDOW_BYTES,
  )
  t.ok(http.state.remoteWindowSize! <= LONG_PATH_SESSION_WINDOW_BYTES)
})

t.test('opens no window wider on a short path, nor for an agent that sends without credit', async (t) => {
  t.equal((await joinFrom(t, 9)).remoteSettings.initialWindowSize, STREAM_WINDOW_BYTES)
  const headers = { agentid: 'a', agentidentifiers: '', 'culvert-extensions': 'heartbeat/1,ping/1' }
  t.equal((await joinFrom(t, 20, headers)).remoteSettings.initialWindowSize, STREAM_WINDOW_BYTES)
})
