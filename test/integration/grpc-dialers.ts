/**
 * Dials of gRPC mode, as grpc-go makes them: on one HTTP/2 connection for all, or on one each. A call that GOAWAY says nobody has
 * seen is opened again on a new connection, once; whatever else goes wrong is a failure of the dial.
 */
import { type ClientHttp2Session, constants } from 'node:http2'
import { Duplex } from 'node:stream'
import type { Test } from 'tap'
import type { Int64 } from '../../src/tunnel/packet.ts'
import type { Frontend } from './client.ts'
import type { Dial } from './steady-load.ts'
import { closeRequest, joinFrontend, openCall, type WireCall } from './wire-call.ts'

export type GrpcDialer = {
  /** To a target that does not speak first. */
  readonly dial: Dial
  /** HTTP/2 connections so far. */
  readonly connections: () => number
  /** Calls that were opened again. */
  readonly openedAgain: () => number
}

/** One connection for all, and a new one for those who come after GOAWAY. What runs on the old one goes on. */
export function dialOnOne(t: Test, frontend: Frontend): GrpcDialer {
  let current: Promise<ClientHttp2Session> | undefined
  async function connection(join: Join): Promise<ClientHttp2Session> {
    const was = current
    const http = await was?.catch(() => undefined) // who asked for it knows why
    if (http && !http.closed && !http.destroyed) return http
    if (current === was) current = join()
    return current!
  }
  return makeDialer(
    () => joinFrontend(t, frontend),
    connection,
    () => {},
  )
}

/** One for each, which ends with it. */
export const dialOnOneEach = (t: Test, frontend: Frontend): GrpcDialer =>
  makeDialer(
    () => joinFrontend(t, frontend),
    (join) => join(),
    (http) => http.close(),
  )

type Join = () => Promise<ClientHttp2Session>
type Connection = (join: Join) => Promise<ClientHttp2Session>

function makeDialer(joinNow: Join, connection: Connection, over: (http: ClientHttp2Session) => void): GrpcDialer {
  let connections = 0
  let openedAgain = 0
  let dials = 0
  const join: Join = () => {
    connections++
    return joinNow()
  }

  async function dial(address: string, again = false): Promise<Duplex> {
    const http = await connection(join)
    const call = openCall(http)
    try {
      return tunnelOver(call, await call.dial(address, ++dials), () => over(http))
    } catch (error) {
      over(http)
      if (again || call.stream.rstCode !== constants.NGHTTP2_REFUSED_STREAM) throw error
      openedAgain++
      return dial(address, true)
    }
  }

  return { dial: (address) => dial(address), connections: () => connections, openedAgain: () => openedAgain }
}

/** Destroyed, it closes as konnectivity's client does; a close that is not confirmed is its error. */
function tunnelOver(call: WireCall, id: Int64, over: () => void): Duplex {
  async function close(): Promise<void> {
    call.send(closeRequest(id))
    const { connectId, error } = await call.next('CLOSE_RSP')
    if (connectId !== id || error !== '') throw new Error(`${id} was closed as ${connectId}: ${error}`)
    call.stream.end() // nothing depends on how the call ends now: a server that shuts down may be quicker
  }
  const tunnel = new Duplex({
    read() {}, // what comes is small enough to be kept
    write(bytes: Buffer, _encoding, done) {
      if (call.sendData(id, bytes)) done()
      else call.stream.once('drain', done)
    },
    destroy(error, done) {
      if (error) call.stream.close(constants.NGHTTP2_CANCEL)
      const closed = error ? Promise.reject(error) : close()
      closed.then(() => done(null), done).finally(over)
    },
  })
  call.take = (_id, bytes) => void tunnel.push(bytes)
  call.stream.on('data', () => {
    const end = call.received.find(({ type }) => type === 'CLOSE_RSP')
    if (end && !tunnel.destroyed) tunnel.destroy(new Error(`the other end has closed: ${JSON.stringify(end)}`))
  })
  call.stream.once('close', () => {
    if (!tunnel.destroyed) tunnel.destroy(new Error(`the call broke, by ${call.stream.rstCode}`))
  })
  return tunnel.on('error', () => undefined)
}
