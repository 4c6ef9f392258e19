/** A CA as OpenSSL's own tools make it, with an intermediate below it if wanted: what culvert did not issue and has to take. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type Leaf, temporaryFolder } from './certificates.ts'

export type OpenSslCa = {
  readonly name: string
  readonly certFile: string
  readonly keyFile: string
  /** What a leaf of it has to bring along: nothing for a root. */
  readonly above: string
  readonly issue: (name: string, names: string, days?: number) => Leaf
  /** With these extensions and no others. @param subject none: an empty one */
  readonly certify: (
    name: string,
    extensions: string,
    options?: { readonly subject?: string; readonly kind?: KeyKind },
  ) => Leaf
  /** @param extensions instead of those that let it issue anything */
  readonly intermediate: (name: string, extensions?: string, kind?: KeyKind) => OpenSslCa
  readonly revoke: (leaf: Pick<Leaf, 'certFile'>) => void
  /** The list as it stands, in PEM. @param section of the configuration with its extensions */
  readonly list: (seconds?: number) => string
}

export type KeyKind = 'ec' | 'rsa' | 'ed25519'
const KEYS: Readonly<Record<KeyKind, readonly string[]>> = {
  ec: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  rsa: ['-newkey', 'rsa:2048'],
  ed25519: ['-newkey', 'ed25519'],
}

const openssl = (...args: readonly string[]): void => void execFileSync('openssl', args, { stdio: 'pipe' })

export function openSslCa(t: Test, name = 'root', kind: KeyKind = 'ec'): OpenSslCa {
  const folder = temporaryFolder(t)
  const files = filesOf(folder, name)
  const extensions = [
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
  ]
  const made = ['-x509', ...KEYS[kind], '-nodes', '-keyout', files.key, '-out', files.cert, '-days', '30']
  // A configuration of our own: the machine's may add what it likes.
  writeFileSync(join(folder, 'req.cnf'), '[req]\ndistinguished_name=dn\n[dn]\n')
  openssl('req', '-config', join(folder, 'req.cnf'), ...made, '-subj', `/O=Elsewhere/CN=${name}`, ...extensions)
  return caOf(folder, name, kind, '')
}

function caOf(folder: string, name: string, kind: KeyKind, above: string): OpenSslCa {
  const own = filesOf(folder, name)
  const base = join(folder, `${name}-base`)
  const config = join(base, 'ca.cnf')
  mkdirSync(base)
  writeFileSync(join(base, 'index.txt'), '')
  writeFileSync(join(base, 'crlnumber'), '01\n')
  writeFileSync(
    config,
    `[ca]\ndefault_ca=this\n[this]\ndatabase=${base}/index.txt\ncrlnumber=${base}/crlnumber\ndefault_md=${kind === 'ed25519' ? 'default' : 'sha384'}\n`,
  )
  const authority = ['-config', config, '-cert', own.cert, '-keyfile', own.key]
  const sign = (
    leaf: string,
    extensions: string,
    days: number,
    subject = `/O=Elsewhere/CN=${leaf}`,
    its = kind,
  ): void => {
    const { key, cert } = filesOf(folder, leaf)
    const [request, extensionFile] = [join(base, `${leaf}.csr`), join(base, `${leaf}.ext`)]
    writeFileSync(extensionFile, extensions)
    const made = [...KEYS[its], '-nodes', '-keyout', key, '-out', request, '-subj', subject]
    openssl('req', '-config', join(folder, 'req.cnf'), ...made)
    const signed = ['-in', request, '-CA', own.cert, '-CAkey', own.key, '-CAcreateserial', '-out', cert]
    openssl('x509', '-req', ...signed, '-days', String(days), '-extfile', extensionFile)
  }
  const withChain = (leaf: string): Leaf => {
    const { cert, key } = filesOf(folder, leaf)
    const chain = readFileSync(cert, 'utf8') + above
    writeFileSync(cert, chain)
    return { cert: chain, key: readFileSync(key, 'utf8'), certFile: cert, keyFile: key }
  }
  return {
    name,
    certFile: own.cert,
    keyFile: own.key,
    above,
    issue(leaf, names, days = 7) {
      sign(leaf, `subjectAltName=${names}\nextendedKeyUsage=clientAuth,serverAuth\n`, days)
      return withChain(leaf)
    },
    certify(leaf, extensions, { subject = '/', kind: its = kind } = {}) {
      sign(leaf, extensions, 7, subject, its)
      return withChain(leaf)
    },
    intermediate(
      below,
      extensions = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n',
      its = kind,
    ) {
      sign(below, extensions, 20, undefined, its)
      return caOf(folder, below, its, readFileSync(filesOf(folder, below).cert, 'utf8') + above)
    },
    revoke: ({ certFile }) => openssl('ca', ...authority, '-revoke', certFile),
    list(seconds = 3_600) {
      const file = join(base, 'crl.pem')
      openssl('ca', ...authority, '-gencrl', '-crlsec', String(seconds), '-out', file)
      return readFileSync(file, 'utf8')
    },
  }
}

const filesOf = (folder: string, name: string): { readonly cert: string; readonly key: string } => ({
  cert: join(folder, `${name}.crt`),
  key: join(folder, `${name}.key`),
})
