import t from 'tap'
import { helpText, problemText } from '../../src/platform/option-help.ts'
import { boolean, bytes, duration, integer, text } from '../../src/platform/option-types.ts'

const table = {
  headBytes: bytes({ default: '16KiB', help: 'Longest head of a CONNECT.', group: 'Limits' }),
  serverHost: text({ help: 'Host name of the proxy server.' }),
  deleteFile: boolean({ default: 'true', help: 'Removes the file of an earlier run.' }),
  waitMs: duration({ default: '1h', help: 'Longest wait for that head.', group: 'Limits' }),
  graceMs: duration({ default: '0', help: 'Wait before.', group: 'Limits' }),
  id: text({
    default: { shown: 'a new uuid', make: () => '1' },
    environment: 'ID',
    help: `Who this is.${' Long'.repeat(30)}`,
  }),
  udsName: text({ default: '', help: 'Socket.' }),
  v: integer({ default: '4', letter: 'v', help: 'Verbosity.' }),
  force: boolean({ default: 'false', help: 'Force.' }),
  selector: text({ default: 'a=b', formerly: 'label', help: 'Selector.' }),
}

t.test('groups the flags, konnectivity’s first, and shows each default as a user would type it', async (t) => {
  const help = helpText(table, { program: 'proxy-server', summary: 'Serves CONNECT.' })
  const long = 'Long '.repeat(30).trim().split(' ')
  t.equal(
    help,
    [
      'Serves CONNECT.',
      '',
      'Usage: proxy-server [flags]',
      '',
      'Flags as in konnectivity:',
      '  --server-host text (required)',
      '      Host name of the proxy server.',
      '  --delete-file (default true)',
      '      Removes the file of an earlier run.',
      '  --id text (default $ID, else a new uuid)',
      `      Who this is. ${long.slice(0, 16).join(' ')}`,
      `      ${long.slice(16).join(' ')}`,
      '  --uds-name text',
      '      Socket.',
      '  -v, --v number (default 4)',
      '      Verbosity.',
      '  --force',
      '      Force.',
      '  --selector text (default "a=b")',
      '      Selector.',
      '  --label text (default "a=b")',
      '      The former name of --selector.',
      '',
      'Limits:',
      '  --head-bytes size (default 16KiB)',
      '      Longest head of a CONNECT.',
      '  --wait duration (default 1h0m0s)',
      '      Longest wait for that head.',
      '  --grace duration',
      '      Wait before.',
      '',
      'About:',
      '  -h, --help',
      '      Show this text.',
      '  --version',
      '      Show the version.',
      '',
    ].join('\n'),
  )
  t.ok(
    help.split('\n').every((line) => line.length <= 100),
    'nothing is wider than 100 characters',
  )
})

t.test('reports each mistake on its own line, in the words of konnectivity, and where to read on', async (t) => {
  t.equal(
    problemText('server', { misread: ['unknown flag: --no-such'], problems: ['server key should not be set for UDS'] }),
    'error: unknown flag: --no-such\n' +
      'error: failed to validate server options with server key should not be set for UDS\n' +
      'Run proxy-server --help for its flags.\n',
  )
  t.match(
    problemText('agent', { misread: [], problems: ['x'] }),
    /^error: failed to validate agent options with x\nRun proxy-agent --help/,
  )
})
