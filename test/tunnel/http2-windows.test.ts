import t from 'tap'
import {
  createWindowOpener,
  LONG_PATH_SESSION_WINDOW_BYTES,
  LONG_PATH_STREAM_WINDOW_BYTES,
  openSessionWindow,
  SESSION_WINDOW_BYTES,
} from '../../src/tunnel/http2-windows.ts'
import { LONG_PATH_MS } from '../../src/tunnel/path-length.ts'

/** A connection that writes down what is set, and the opener of its windows. */
function opener() {
  const set: [string, unknown][] = []
  const http = {
    destroyed: false,
    settings: (settings: object) => void set.push(['settings', settings]),
    setLocalWindowSize: (bytes: number) => void set.push(['session', bytes]),
  }
  return { http, set, open: createWindowOpener(http) }
}

const LONG = { leastMs: LONG_PATH_MS, measures: 3 }
const WIDE = [
  ['settings', { initialWindowSize: LONG_PATH_STREAM_WINDOW_BYTES }],
  ['session', LONG_PATH_SESSION_WINDOW_BYTES],
]

t.test('opens the windows of the stream and of its connection when the path proves long', async (t) => {
  const { set, open } = opener()
  open({ leastMs: LONG_PATH_MS, measures: 2 })
  t.strictSame(set, [], 'too little is known')
  open(LONG)
  t.strictSame(set, WIDE)
})

t.test('opens them once', async (t) => {
  const { set, open } = opener()
  open(LONG)
  open({ leastMs: LONG_PATH_MS, measures: 4 })
  t.strictSame(set, WIDE)
})

t.test('leaves them as they are on a short path', async (t) => {
  const { set, open } = opener()
  open({ leastMs: LONG_PATH_MS - 0.1, measures: 100 })
  t.strictSame(set, [])
})

t.test('opens the window of a whole connection, and leaves one that is gone', async (t) => {
  const { http, set } = opener()
  openSessionWindow(http)
  t.strictSame(set, [['session', SESSION_WINDOW_BYTES]])
  http.destroyed = true // Node would throw
  openSessionWindow(http)
  t.equal(set.length, 1)
})

t.test('does not touch a connection that is gone', async (t) => {
  const { http, set, open } = opener()
  http.destroyed = true // Node would throw
  open(LONG)
  t.strictSame(set, [])
})
