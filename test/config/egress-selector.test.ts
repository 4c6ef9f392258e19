/** The sample for kube-apiserver, by itself. That a real kube-apiserver takes it: test/e2e/main-job-over-*.test.ts. */
import { readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import t from 'tap'
import { flagOf } from '../../src/platform/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { readYaml, type Value } from './plain-yaml.ts'

const text = readFileSync(new URL('../../config/egress-selector.yaml', import.meta.url), 'utf8')
const lines = text.split('\n')
/** sun_path, less its end: what a Unix socket's path may have on Linux, in bytes. */
const SOCKET_PATH_BYTES = 107

function at(value: Value, ...path: readonly (string | number)[]): Value {
  return path.reduce<Value>((inner, key) => (inner as Readonly<Record<string | number, Value>>)[key] ?? '', value)
}

/** The sample as its comments say to change it for a Unix socket: without the tcp block, the one behind `#` in use. */
function overUnixSocket(): string {
  const start = lines.indexOf('        tcp:')
  const end = lines.indexOf('        # uds:')
  if (start < 0 || end < start) throw new Error('expected a tcp block, and behind it a uds block as a comment')
  const uncommented = lines.slice(end).map((line) => line.replace(/^( {8})# (?=uds:| {2}udsName:)/, '$1'))
  return [...lines.slice(0, start), ...uncommented].join('\n')
}

t.test('sends what is inside the cluster through the tunnel, and nothing else', async (t) => {
  const direct = (name: string): Value => ({ name, connection: { proxyProtocol: 'Direct' } })
  const sample = readYaml(text)
  t.strictSame(sample, {
    apiVersion: 'apiserver.k8s.io/v1beta1',
    kind: 'EgressSelectorConfiguration',
    egressSelections: [
      {
        name: 'cluster',
        connection: {
          proxyProtocol: 'HTTPConnect',
          transport: {
            tcp: {
              url: at(sample, 'egressSelections', 0, 'connection', 'transport', 'tcp', 'url'),
              tlsConfig: at(sample, 'egressSelections', 0, 'connection', 'transport', 'tcp', 'tlsConfig'),
            },
          },
        },
      },
      direct('controlplane'),
      direct('etcd'),
    ],
  })
})

t.test('names the port that proxy-server has by default, over TLS, and a host that nobody has', async (t) => {
  const url = new URL(String(at(readYaml(text), 'egressSelections', 0, 'connection', 'transport', 'tcp', 'url')))
  t.equal(url.protocol, 'https:')
  t.equal(url.port, serverOptions.serverPort.default)
  t.match(url.hostname, /\.example\.internal$/)
  t.equal(url.pathname, '/')
})

t.test('names a CA, a certificate and a key, by absolute paths', async (t) => {
  const tls = at(readYaml(text), 'egressSelections', 0, 'connection', 'transport', 'tcp', 'tlsConfig')
  t.strictSame(Object.keys(tls), ['caBundle', 'clientCert', 'clientKey'])
  const paths = Object.values(tls).map(String)
  for (const path of paths) t.ok(isAbsolute(path), path)
  t.equal(new Set(paths).size, paths.length)
})

t.test('becomes one for a Unix socket as its comments say', async (t) => {
  const sample = readYaml(overUnixSocket())
  const transport = at(sample, 'egressSelections', 0, 'connection', 'transport')
  const path = String(at(transport, 'uds', 'udsName'))
  t.strictSame(transport, { uds: { udsName: path } })
  t.ok(isAbsolute(path))
  t.ok(Buffer.byteLength(path) <= SOCKET_PATH_BYTES)
  t.strictSame(at(sample, 'egressSelections', 1), at(readYaml(text), 'egressSelections', 1))
})

t.test('explains each line, beside it or right above', async (t) => {
  const LINES_PER_COMMENT = 3
  let sinceComment = Number.POSITIVE_INFINITY
  for (const [index, line] of lines.entries()) {
    if (/^ *#/.test(line)) sinceComment = 0
    else if (line === '')
      sinceComment = Number.POSITIVE_INFINITY // a comment explains its own paragraph
    else if (!/ # \w/.test(line)) {
      sinceComment += 1
      t.ok(sinceComment <= LINES_PER_COMMENT, `line ${index + 1}: ${line}`)
    }
  }
  t.equal(
    lines.filter((line) => line.includes('(yours)')).length,
    3 + 1,
    'each place to fill in is marked, and what the mark means',
  )
})

t.test('names only flags that there are', async (t) => {
  const ours = Object.entries(serverOptions).map(([key, option]) => `--${flagOf(key, option)}`)
  const named = new Set(text.match(/--[a-z][a-z-]*/g))
  named.delete('--egress-selector-config-file') // kube-apiserver's
  t.strictSame(
    [...named].filter((flag) => !ours.includes(flag)),
    [],
  )
  for (const flag of ['--mode', '--server-cert', '--server-ca-cert', '--uds-name']) t.ok(named.has(flag), flag)
})
