/** The samples for kube-apiserver, by themselves. That a real kube-apiserver takes them: test/e2e/main-job-*.test.ts. */
import { readdirSync, readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import t from 'tap'
import { flagOf } from '../../src/platform/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { readYaml, type Value } from './plain-yaml.ts'

const CONFIG = new URL('../../config/', import.meta.url)
/** sun_path, less its end: what a Unix socket's path may have on Linux, in bytes. */
const SOCKET_PATH_BYTES = 107
const LINES_PER_COMMENT = 3

const samples = [
  { file: 'egress-selector.yaml', protocol: 'HTTPConnect', transport: 'tcp', mode: 'http-connect', yours: 4 },
  { file: 'egress-selector-uds.yaml', protocol: 'HTTPConnect', transport: 'uds', mode: 'http-connect', yours: 2 },
  { file: 'egress-selector-grpc.yaml', protocol: 'GRPC', transport: 'uds', mode: 'grpc', yours: 2 },
] as const

const textOf = (file: string): string => readFileSync(new URL(file, CONFIG), 'utf8')

function at(value: Value, ...path: readonly (string | number)[]): Value {
  return path.reduce<Value>((inner, key) => (inner as Readonly<Record<string | number, Value>>)[key] ?? '', value)
}

function transportOf(file: string): Value {
  return at(readYaml(textOf(file)), 'egressSelections', 0, 'connection', 'transport')
}

t.test('there is one sample for each way to proxy-server, and each names the others', async (t) => {
  const files = readdirSync(CONFIG).filter((file) => file.startsWith('egress-selector'))
  t.strictSame(files.sort(), samples.map(({ file }) => file).sort())
  for (const { file } of samples) {
    const others = files.filter((other) => other !== file)
    for (const other of others) t.match(textOf(file), `${other} (`, `${file} names ${other}`)
  }
})

for (const { file, protocol, transport, mode, yours } of samples) {
  const text = textOf(file)
  const lines = text.split('\n')

  t.test(`${file} sends what is inside the cluster through the tunnel, and nothing else`, async (t) => {
    const direct = (name: string): Value => ({ name, connection: { proxyProtocol: 'Direct' } })
    t.strictSame(readYaml(text), {
      apiVersion: 'apiserver.k8s.io/v1beta1',
      kind: 'EgressSelectorConfiguration',
      egressSelections: [
        { name: 'cluster', connection: { proxyProtocol: protocol, transport: transportOf(file) } },
        direct('controlplane'),
        direct('etcd'),
      ],
    })
    t.strictSame(Object.keys(transportOf(file)), [transport], 'exactly one transport')
  })

  t.test(`${file} explains each line, beside it or right above`, async (t) => {
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
    const marked = lines.filter((line) => line.includes('(yours)'))
    t.equal(marked.length, yours, 'each place to fill in is marked, and what the mark means')
  })

  t.test(`${file} names the mode that proxy-server needs, and only flags that there are`, async (t) => {
    const ours = Object.entries(serverOptions).map(([key, option]) => `--${flagOf(key, option)}`)
    const named = new Set(text.match(/--[a-z][a-z-]*/g))
    named.delete('--egress-selector-config-file') // kube-apiserver's
    t.strictSame(
      [...named].filter((flag) => !ours.includes(flag)),
      [],
    )
    t.match(text, `--mode=${mode}`)
    for (const flag of transport === 'tcp' ? ['--server-cert', '--server-ca-cert'] : ['--uds-name'])
      t.ok(named.has(flag), flag)
  })
}

t.test(
  'over TCP it names the port that proxy-server has by default, over TLS, and a host that nobody has',
  async (t) => {
    const url = new URL(String(at(transportOf('egress-selector.yaml'), 'tcp', 'url')))
    t.equal(url.protocol, 'https:')
    t.equal(url.port, serverOptions.serverPort.default)
    t.match(url.hostname, /\.example\.internal$/)
    t.equal(url.pathname, '/')
  },
)

t.test('over TCP it names a CA, a certificate and a key, by absolute paths', async (t) => {
  const tls = at(transportOf('egress-selector.yaml'), 'tcp', 'tlsConfig')
  t.strictSame(Object.keys(tls), ['caBundle', 'clientCert', 'clientKey'])
  const paths = Object.values(tls).map(String)
  for (const path of paths) t.ok(isAbsolute(path), path)
  t.equal(new Set(paths).size, paths.length)
})

t.test('over a Unix socket it names a path that a socket can have', async (t) => {
  for (const { file } of samples.filter(({ transport }) => transport === 'uds')) {
    const { udsName, ...rest } = at(transportOf(file), 'uds') as { readonly udsName: string }
    t.strictSame(rest, {})
    t.ok(isAbsolute(udsName), udsName)
    t.ok(Buffer.byteLength(udsName) <= SOCKET_PATH_BYTES)
  }
})
