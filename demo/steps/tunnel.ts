/** Step: a CONNECT to the server's frontend, and through the tunnel that it opens a request to the private service. */
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { Duplex } from 'node:stream'
import { type Answer, get } from '../ask.ts'
import { type Scene, within } from '../scene.ts'
import { ADDRESS, type Certificates } from './certificates.ts'
import type { PrivateService } from './private-service.ts'

type Tunnel = { readonly status: number; readonly reason: string; readonly connection: Duplex }

/** What the two requests were answered; `service` is undefined when the CONNECT was refused. */
export type Requested = { readonly connect: Omit<Tunnel, 'connection'>; readonly service: Answer | undefined }

/** @param frontendPort of the server */
export function requestThroughTunnel(
  scene: Scene,
  certificates: Certificates,
  frontendPort: number,
  { target, url }: PrivateService,
): Promise<Requested> {
  return within(scene, 'the answer through the tunnel', async (signal) => {
    const { status, reason, connection } = await connect(certificates, frontendPort, target, signal)
    try {
      return { connect: { status, reason }, service: status === 200 ? await get(url, signal, connection) : undefined }
    } finally {
      connection.destroy()
    }
  })
}

function connect({ ca, user }: Certificates, port: number, target: string, signal: AbortSignal): Promise<Tunnel> {
  const { promise, resolve, reject } = Promise.withResolvers<Tunnel>()
  const asked = request({
    method: 'CONNECT',
    host: ADDRESS,
    port,
    path: target,
    ca: readFileSync(ca.certificateFile),
    cert: readFileSync(user.certificateFile),
    key: readFileSync(user.keyFile),
    agent: false,
    signal,
  })
  asked.on('connect', ({ statusCode = 0, statusMessage = '' }: IncomingMessage, connection: Duplex) => {
    connection.on('error', () => undefined) // it may break after it was refused; a request through it hears of it itself
    resolve({ status: statusCode, reason: statusMessage, connection })
  })
  asked.on('error', reject)
  asked.end()
  return promise
}
