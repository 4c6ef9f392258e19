/**
 * What one of several worker processes runs with: an id of its own, the number of servers that there are in all, and its share of the
 * limits that are for the whole program. Pure.
 */
import type { ServerOptions } from './options.ts'

/**
 * Never the same twice: an agent must see a new server in whoever replaces one that crashed.
 *
 * @param random a few characters that no other process gets
 */
export function workerServerId(serverId: string, slot: number, random: string): string {
  return `${serverId}-w${slot}-${random}`
}

/** The id that the replica of this process was given: that of a worker begins with it. */
export const replicaIdOf = ({ serverId, workers }: Pick<ServerOptions, 'serverId' | 'workers'>): string =>
  workers > 1 ? serverId.replace(/-w\d+-[\da-z]+$/, '') : serverId

/** One lease for each slot, whoever is in it: agents that count leases then count workers. */
export function leaseIds(serverId: string, workers: number): string[] {
  return Array.from({ length: workers }, (_, index) => (workers === 1 ? serverId : `${serverId}-w${index + 1}`))
}

/**
 * Limits of a stream or an identity stay: an agent has a stream to each worker. Those that protect the machine are divided.
 *
 * @param serverId of this worker
 */
export function optionsOfWorker(options: ServerOptions, workers: number, serverId: string): ServerOptions {
  const share = (whole: number): number => Math.max(1, Math.ceil(whole / workers))
  const processBufferBytes = share(options.processBufferBytes)
  const streamBufferBytes = Math.min(options.streamBufferBytes, processBufferBytes)
  return {
    ...options,
    serverId,
    serverCount: options.serverCount * workers,
    processBufferBytes,
    streamBufferBytes,
    connectionBufferBytes: Math.min(options.connectionBufferBytes, streamBufferBytes),
    handshakesPerSecond: share(options.handshakesPerSecond),
    maxFrontendConnections: share(options.maxFrontendConnections),
    enableLeaseController: false, // leases are kept by the one process that all workers belong to
  }
}
