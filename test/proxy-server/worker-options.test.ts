import t from 'tap'
import { readOptions } from '../../src/platform/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { leaseIds, optionsOfWorker, replicaIdOf, workerServerId } from '../../src/proxy-server/worker-options.ts'

const MIB = 1_048_576

function read(...argv: string[]) {
  const result = readOptions(serverOptions, argv, [], {})
  if (result.ok !== true) throw new Error('the flags of this test are good')
  return result.values
}

t.test('a worker has its own id and announces all workers of all replicas', async (t) => {
  const { serverId, serverCount } = optionsOfWorker(read('--server-id=hub', '--server-count=3'), 4, 'hub-w2-ab')
  t.strictSame({ serverId, serverCount }, { serverId: 'hub-w2-ab', serverCount: 12 })
  t.equal(workerServerId('hub', 2, 'ab'), 'hub-w2-ab')
})

t.test('the id of a worker tells that of its replica, and that of a server without workers is its own', async (t) => {
  t.equal(replicaIdOf({ serverId: workerServerId('hub-w1', 2, '0f'), workers: 4 }), 'hub-w1')
  t.equal(replicaIdOf({ serverId: 'hub', workers: 4 }), 'hub', 'the process that the workers belong to')
  t.equal(replicaIdOf({ serverId: 'hub-w2-ab', workers: 1 }), 'hub-w2-ab')
})

t.test('the limits of the machine are shared, those of an agent are not', async (t) => {
  const options = optionsOfWorker(
    read('--handshakes-per-second=201', '--max-frontend-connections=10', '--process-buffer-bytes=256MiB'),
    2,
    'id',
  )
  t.match(options, {
    handshakesPerSecond: 101,
    maxFrontendConnections: 5,
    processBufferBytes: 128 * MIB,
    streamBufferBytes: 64 * MIB,
    maxStreamsPerIdentity: 5_000,
  })
})

t.test('a share of the memory bounds what is below it', async (t) => {
  const { processBufferBytes, streamBufferBytes, connectionBufferBytes } = optionsOfWorker(read(), 128, 'id')
  t.strictSame([processBufferBytes, streamBufferBytes, connectionBufferBytes], [2 * MIB, 2 * MIB, 2 * MIB])
})

t.test('leases are kept by the server: one for each slot, whoever is in it', async (t) => {
  t.equal(optionsOfWorker(read('--enable-lease-controller'), 2, 'id').enableLeaseController, false)
  t.strictSame(leaseIds('hub', 2), ['hub-w1', 'hub-w2'])
})
