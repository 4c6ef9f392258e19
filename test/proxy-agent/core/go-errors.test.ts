import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import {
  addressErrorText,
  connectErrorText,
  hostPort,
  lookupErrorText,
  lookupTimeoutText,
  timeoutText,
} from '../../../src/proxy-agent/core/go-errors.ts'
import { closedPort } from '../../integration/target.ts'

/** As libuv and Node make them. */
const systemError = (code: string, syscall = 'connect'): Error =>
  Object.assign(new Error(`${syscall} ${code}`), { code })

t.test('says what Go says for each way a connect can fail', async (t) => {
  const words = {
    ECONNREFUSED: 'dial tcp 10.0.0.1:80: connect: connection refused',
    ECONNRESET: 'dial tcp 10.0.0.1:80: connect: connection reset by peer',
    ETIMEDOUT: 'dial tcp 10.0.0.1:80: i/o timeout',
    ENETUNREACH: 'dial tcp 10.0.0.1:80: connect: network is unreachable',
    EHOSTUNREACH: 'dial tcp 10.0.0.1:80: connect: no route to host',
    EACCES: 'dial tcp 10.0.0.1:80: connect: permission denied',
    EPERM: 'dial tcp 10.0.0.1:80: connect: operation not permitted',
    EADDRNOTAVAIL: 'dial tcp 10.0.0.1:80: connect: cannot assign requested address',
    EINVAL: 'dial tcp 10.0.0.1:80: connect: invalid argument',
    EMFILE: 'dial tcp 10.0.0.1:80: socket: too many open files',
    ENFILE: 'dial tcp 10.0.0.1:80: socket: too many open files in system',
  }
  for (const [code, text] of Object.entries(words)) t.equal(connectErrorText('10.0.0.1:80', systemError(code)), text)
})

t.test('says what Go says for each way a name can fail to resolve', async (t) => {
  const words = {
    ENOTFOUND: 'dial tcp: lookup a.invalid: no such host',
    EAI_AGAIN: 'dial tcp: lookup a.invalid: Temporary failure in name resolution',
    EMFILE: 'dial tcp: lookup a.invalid: too many open files',
    EAI_SERVICE: 'dial tcp: lookup a.invalid: getaddrinfo EAI_SERVICE',
  }
  for (const [code, text] of Object.entries(words)) {
    t.equal(lookupErrorText('a.invalid', systemError(code, 'getaddrinfo')), text)
  }
  t.equal(lookupTimeoutText('a.invalid'), 'dial tcp: lookup a.invalid: i/o timeout')
})

t.test('says what Go says of an address that is none', async (t) => {
  t.equal(
    addressErrorText('10.0.0.1', 'missing port in address'),
    'dial tcp: address 10.0.0.1: missing port in address',
  )
  t.equal(timeoutText('[::1]:80'), 'dial tcp [::1]:80: i/o timeout')
  t.equal(hostPort('::1', 80), '[::1]:80')
  t.equal(hostPort('10.0.0.1', 80), '10.0.0.1:80')
})

t.test('hands on the message of an error it does not know, whatever was thrown', async (t) => {
  t.equal(connectErrorText('10.0.0.1:80', systemError('EWHAT')), 'dial tcp 10.0.0.1:80: connect: connect EWHAT')
  t.equal(connectErrorText('10.0.0.1:80', new Error('odd')), 'dial tcp 10.0.0.1:80: connect: odd')
  t.equal(connectErrorText('10.0.0.1:80', 'odd'), 'dial tcp 10.0.0.1:80: connect: odd')
  t.equal(connectErrorText('10.0.0.1:80', undefined), 'dial tcp 10.0.0.1:80: connect: undefined')
})

t.test('keeps foreign text to one printable line of bounded length', async (t) => {
  t.equal(lookupErrorText('a\r\nb\0\u00e9', systemError('ENOTFOUND')), 'dial tcp: lookup a??b??: no such host')
  t.ok(lookupErrorText('a'.repeat(1_000_000), systemError('ENOTFOUND')).length < 320)
})

t.test("words Node's own errors as Go words the same failures", async (t) => {
  const port = Number((await closedPort()).split(':')[1])
  const failureOf = async (options: object): Promise<unknown> => {
    const [error] = await once(connect({ port, ...options }).on('connect', t.fail), 'close').catch((error) => [error])
    return error
  }
  const refused = await failureOf({ host: '127.0.0.1' })
  t.match(refused, { code: 'ECONNREFUSED' })
  t.equal(connectErrorText(`name:${port}`, refused), `dial tcp 127.0.0.1:${port}: connect: connection refused`)

  const both = [
    { address: '127.0.0.1', family: 4 },
    { address: '127.0.0.2', family: 4 },
  ]
  const bundled = await failureOf({
    host: 'name',
    autoSelectFamily: true,
    lookup: (_host: string, _options: object, found: (error: null, addresses: typeof both) => void) =>
      found(null, both),
  })
  t.match(bundled, { errors: [{ code: 'ECONNREFUSED' }, { code: 'ECONNREFUSED' }] })
  t.equal(connectErrorText(`name:${port}`, bundled), `dial tcp 127.0.0.1:${port}: connect: connection refused`)

  // A name that the C library refuses by itself, so that no name server is needed.
  const unknown = await lookup('no..such').catch((error) => error)
  t.equal(lookupErrorText('no..such', unknown), 'dial tcp: lookup no..such: no such host')
})
