import { Socket } from 'node:net'
import t from 'tap'
import { createOpenSockets } from '../../src/proxy-agent/open-sockets.ts'

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.once('close', () => resolve())
    socket.destroy()
  })

t.test('is empty at once when nothing is open', async (t) => {
  await createOpenSockets().whenEmpty()
  t.pass()
})

t.test('is empty when the last socket has closed, also of those that came while somebody waited', async (t) => {
  const sockets = createOpenSockets()
  const [one, two] = [new Socket(), new Socket()]
  sockets.add(one)
  let empty = false
  const waited = sockets.whenEmpty().then(() => {
    empty = true
  })
  sockets.add(two)
  await closed(one)
  t.notOk(empty)
  await closed(two)
  await waited
  t.ok(empty)
})
