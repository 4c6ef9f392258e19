import t from 'tap'
import { isLocal, localNames } from '../../src/platform/local-names.ts'

const own = ['localhost', 'localhost.', 'admin.localhost', '127.0.0.1', '127.8.8.8', '[::1]', '10.0.0.1', '[fd00::1]']
const foreign = [
  'rebound.example',
  'localhost.example',
  'notlocalhost',
  '127.0.0.1.example',
  '',
  '.',
  'kube-system.svc',
]

t.test('a port on a loopback address may be called by addresses and local names only', async (t) => {
  for (const bindAddress of ['127.0.0.1', '127.0.0.2', '::1', '::ffff:127.0.0.1', 'localhost']) {
    const mayBeCalled = localNames(bindAddress)
    for (const name of own) t.ok(mayBeCalled(name), `${bindAddress}: ${name}`)
    for (const name of foreign) t.notOk(mayBeCalled(name), `${bindAddress}: ${name}`)
  }
})

t.test('a port that was opened to others may be called by any name', async (t) => {
  for (const bindAddress of ['', '0.0.0.0', '::', '10.0.0.1', 'fd00::1', '::2']) {
    const mayBeCalled = localNames(bindAddress)
    for (const name of [...own, ...foreign]) t.ok(mayBeCalled(name), `${bindAddress}: ${name}`)
  }
})

t.test('a port that was bound by a name may be called by it', async (t) => {
  const mayBeCalled = localNames('Node-1')
  for (const name of [...own, 'node-1', 'node-1.']) t.ok(mayBeCalled(name), name)
  for (const name of [...foreign, 'node-2']) t.notOk(mayBeCalled(name), name)
})

t.test('only loopback addresses and localhost are taken to be out of reach of others', async (t) => {
  for (const bindAddress of ['127.0.0.1', '127.9.9.9', '::1', 'localhost', 'Localhost', 'a.localhost']) {
    t.ok(isLocal(bindAddress), bindAddress)
  }
  for (const bindAddress of [
    '',
    '0.0.0.0',
    '::',
    '10.0.0.1',
    'hub-0.example',
    'hub-0',
    'notlocalhost',
    'localhost.example',
  ]) {
    t.notOk(isLocal(bindAddress), bindAddress)
  }
})
