/** The frontend that --mode asks for, with the limits that it has. */
import type { TlsMaterial } from '../platform/tls-material.ts'
import { keepaliveMs } from './core/keepalive.ts'
import type { FrontendDeps } from './frontend-client.ts'
import { createFrontendListener, type FrontendListener, type FrontendListenerOptions } from './frontend-listener.ts'
import { createGrpcFrontendListener } from './grpc-frontend-listener.ts'
import type { ServerOptions } from './options.ts'

/** @param material none: a Unix socket */
export function createFrontend(
  options: ServerOptions,
  material: TlsMaterial | undefined,
  common: Pick<FrontendListenerOptions, 'protocol' | 'trustDomain' | 'tenants' | 'standing' | 'frontDoors'>,
  deps: Omit<FrontendDeps, 'options'>,
): FrontendListener {
  const listening = { ...common, handshakeTimeoutMs: options.tlsHandshakeTimeoutMs }
  if (options.mode === 'grpc') {
    const limits = {
      maxHeaderListBytes: options.maxHeaderListBytes,
      maxCalls: options.maxFrontendConnections,
      keepaliveMs: keepaliveMs(options.frontendKeepaliveTimeMs),
    }
    const call = { maxMessageBytes: options.maxMessageBytes, maxViolations: options.unknownFramesPerMinute }
    return createGrpcFrontendListener(material, { ...listening, ...limits }, { ...deps, options: call })
  }
  const head = {
    headBytes: options.connectHeadBytes,
    headTimeoutMs: options.connectHeadTimeoutMs,
    earlyDataBytes: options.earlyDataBytes,
  }
  return createFrontendListener(material, listening, { ...deps, options: head })
}
