/** What the stream of an agent is held to, by the flags of the server. Pure. */
import { PAUSE_SHARE } from '../tunnel/stock-backlog.ts'
import type { AgentStreamOptions } from './agent-stream-owner.ts'
import type { ServerOptions } from './options.ts'

export function agentStreamOptions(options: ServerOptions): AgentStreamOptions {
  return {
    serverId: options.serverId,
    serverCount: options.serverCount,
    maxMessageBytes: options.maxMessageBytes,
    heartbeatTimeoutMs: options.heartbeatTimeoutMs,
    maxLanes: options.maxLanesPerAgent,
    streamBufferBytes: options.streamBufferBytes,
    limits: {
      pendingDials: options.maxPendingDialsPerStream,
      connections: options.maxConnectionsPerStream,
      unknownFramesPerMinute: options.unknownFramesPerMinute,
      stock: {
        connectionBytes: options.connectionBufferBytes,
        streamBytes: options.streamBufferBytes * PAUSE_SHARE,
        slowBytes: options.slowConsumerBytes,
        slowMs: options.slowConsumerTimeMs,
      },
    },
  }
}
