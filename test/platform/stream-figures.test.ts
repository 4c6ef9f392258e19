import { Registry } from 'prom-client'
import t from 'tap'
import { createStreamFigures, streamEndCode } from '../../src/platform/stream-figures.ts'
import { expose } from './exposition.ts'

t.test('shows the packets of each segment by type, and only what has come', async (t) => {
  const registry = new Registry()
  const [received, sent] = [
    { DATA: 0, DIAL_REQ: 2 },
    { DATA: 5, DIAL_REQ: 0 },
  ]
  createStreamFigures(registry, 'x_', { from_client: received, to_client: sent })
  t.strictSame((await expose(registry)).series, {
    'x_stream_packets_total{segment="from_client",packet_type="DIAL_REQ"}': 2,
    'x_stream_packets_total{segment="to_client",packet_type="DATA"}': 5,
  })
  received.DIAL_REQ++
  const { series } = await expose(registry)
  t.equal(series['x_stream_packets_total{segment="from_client",packet_type="DIAL_REQ"}'], 3)
})

t.test('counts the streams that broke, which were between two packets', async (t) => {
  const registry = new Registry()
  const { streamEnded } = createStreamFigures(registry, 'x_', {})
  streamEnded('from_agent', 'Canceled')
  streamEnded('from_agent', 'Canceled')
  streamEnded('to_agent', 'Unavailable')
  streamEnded('to_agent', 'OK')
  t.strictSame((await expose(registry)).series, {
    'x_stream_errors_total{segment="from_agent",code="Canceled",packet_type="Unknown"}': 2,
    'x_stream_errors_total{segment="to_agent",code="Unavailable",packet_type="Unknown"}': 1,
  })
})

t.test('names a status as Go does, and whatever gRPC has no name for Unknown', async (t) => {
  t.strictSame(['0', '1', '2', '4', '8', '13', '14', '16'].map(streamEndCode), [
    ...['OK', 'Canceled', 'Unknown', 'DeadlineExceeded', 'ResourceExhausted', 'Internal', 'Unavailable'],
    'Unauthenticated',
  ])
  for (const strange of ['17', '99', '-1', '', 'undefined', '1e0']) t.equal(streamEndCode(strange), 'Unknown', strange)
})
