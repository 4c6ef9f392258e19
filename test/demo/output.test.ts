import t from 'tap'
import { aligned, createOutput } from '../../demo/output.ts'
import { curlLine } from '../../demo/steps/curl.ts'

t.test('prints steps in columns, whatever they took', async (t) => {
  let text = ''
  const output = createOutput((part) => {
    text += part
  })
  output.step('certificates', 4.6, ['made'])
  output.step('private service', 12_345, ['first', 'second'])
  output.step('quiet', 0, [])
  output.failure('heartbeat', ['no answer'])
  output.block('Title:', ['below'])
  t.equal(
    text,
    [
      '      5 ms  certificates     made',
      '  12345 ms  private service  first',
      '                             second',
      '      0 ms  quiet',
      '    failed  heartbeat        no answer',
      '',
      'Title:',
      '  below',
      '',
    ].join('\n'),
  )
})

t.test('aligns a record, with what it holds in turn', async (t) => {
  t.strictSame(aligned({ id: 'a', none: '', ms: 0.123456, list: ['x', 'y'], in: { deep: { count: 3 } }, off: false }), [
    'id             a',
    'none',
    'ms             0.123',
    'list           x, y',
    'in.deep.count  3',
    'off            false',
  ])
  t.strictSame(aligned({}), [])
})

t.test('quotes paths in the line for curl only where a shell needs it', async (t) => {
  const files = (folder: string) => ({ certificateFile: `${folder}/a.crt`, keyFile: `${folder}/a.key` })
  const line = (folder: string): string => {
    const [ca, server, agent, user] = [files(folder), files(folder), files(folder), files(folder)]
    return curlLine({ ca, server, agent, user }, 1234, 'http://127.0.0.1:5678/')
  }
  t.match(
    line('/tmp/x-1'),
    ' --proxy https://127.0.0.1:1234 --proxy-cacert /tmp/x-1/a.crt --proxy-cert /tmp/x-1/a.crt ',
  )
  t.match(line("/tmp/it's $HOME"), ` --proxy-key '/tmp/it'\\''s $HOME/a.key' http://127.0.0.1:5678/`)
})
