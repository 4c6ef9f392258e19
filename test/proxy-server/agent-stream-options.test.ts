import t from 'tap'
import { readOptions } from '../../src/platform/options.ts'
import { agentStreamOptions } from '../../src/proxy-server/agent-stream-options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'

const MIB = 1_048_576

function read(...argv: string[]) {
  const result = readOptions(serverOptions, argv, [], {})
  if (result.ok !== true) throw new Error('the flags of this test are good')
  return result.values
}

t.test('holds the stream of an agent to what each flag says', async (t) => {
  const options = read(
    '--server-id=hub-0',
    '--server-count=3',
    '--max-message-bytes=1MiB',
    '--heartbeat-timeout=11s',
    '--max-lanes-per-agent=5',
    '--stream-buffer-bytes=32MiB',
    '--max-pending-dials-per-stream=101',
    '--max-connections-per-stream=102',
    '--unknown-frames-per-minute=103',
    '--connection-buffer-bytes=2MiB',
    '--slow-consumer-bytes=3MiB',
    '--slow-consumer-time=12s',
  )
  t.strictSame(agentStreamOptions(options), {
    serverId: 'hub-0',
    serverCount: 3,
    maxMessageBytes: MIB,
    heartbeatTimeoutMs: 11_000,
    maxLanes: 5,
    streamBufferBytes: 32 * MIB,
    limits: {
      pendingDials: 101,
      connections: 102,
      unknownFramesPerMinute: 103,
      stock: { connectionBytes: 2 * MIB, streamBytes: 24 * MIB, slowBytes: 3 * MIB, slowMs: 12_000 },
    },
  })
})
