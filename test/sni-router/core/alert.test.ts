import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { connect } from 'node:tls'
import t from 'tap'
import { ALERTS, alertRecord } from '../../../src/sni-router/core/alert.ts'

t.test("is what Node's own TLS reads as the alert of that name", async (t) => {
  for (const [name, code] of [
    ['unrecognized_name', /UNRECOGNIZED_NAME/i],
    ['no_application_protocol', /NO_APPLICATION_PROTOCOL/i],
    ['internal_error', /INTERNAL_ERROR/i],
    ['decode_error', /DECODE_ERROR/i],
  ] as const) {
    const [client, server] = duplexPair()
    const tls = connect({ socket: client, servername: 'a.example' })
    server.resume().write(alertRecord(ALERTS[name]))
    const [error] = (await once(tls, 'error')) as [NodeJS.ErrnoException]
    t.match(error.code, code)
    server.destroy()
  }
})
