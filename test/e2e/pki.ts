/**
 * The certificates of a cluster: one CA for Kubernetes, another for the tunnel, so that a certificate of the one is worth
 * nothing at the other. Those of the tunnel come from `culvert pki`, which names roles in them, or like the others from
 * `openssl`, plain as any CA makes them. All keys are ECDSA P-256 and live in the run's own folder.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { HUB_ADDRESS, MORE_NODE_ADDRESSES, NODE_ADDRESS } from './network.ts'

const run = promisify(execFile)
const CULVERT = join(import.meta.dirname, '../../bin/culvert')

/** Paths of PEM files. */
export type Certificate = { readonly cert: string; readonly key: string }

export type Pki = {
  readonly kubernetes: {
    readonly ca: Certificate
    readonly server: Certificate
    readonly admin: Certificate
    /** Of proxy-server as a client of kube-apiserver; nobody has granted it anything. */
    readonly proxyServer: Certificate
    readonly kubelet: Certificate
    readonly kubeletClient: Certificate
    readonly aggregatedApi: Certificate
    readonly webhook: Certificate
    readonly serviceAccount: Certificate
  }
  readonly tunnel: {
    readonly ca: Certificate
    readonly server: Certificate
    readonly agent: Certificate
    readonly apiserver: Certificate
  }
}

/** Who makes the certificates of the tunnel. */
export type Issuer = 'culvert' | 'openssl'

/** kube-apiserver checks the certificate behind a service by the service's name, wherever it reaches it. */
const AGGREGATED_API_HOST = 'things.default.svc'
const WEBHOOK_HOST = 'gate.default.svc'

export async function makePki(folder: string, tunnelBy: Issuer): Promise<Pki> {
  const kubernetes = await makeKubernetesPki(folder)
  return { kubernetes, tunnel: await (tunnelBy === 'culvert' ? tunnelByCulvert(folder) : tunnelByOpenssl(folder)) }
}

export async function makeKubernetesPki(folder: string): Promise<Pki['kubernetes']> {
  // The machine's own configuration would make every certificate a CA.
  writeFileSync(join(folder, 'openssl.cnf'), '[req]\ndistinguished_name = subject\n[subject]\n')
  const kubernetesCa = await issue(folder, 'kubernetes-ca', '/CN=kubernetes-ca')
  const kubernetes = (name: string, subject: string, names?: string) =>
    issue(folder, name, subject, kubernetesCa, names)
  const hubNames = `IP:${HUB_ADDRESS},IP:127.0.0.1,IP:10.96.0.1,DNS:kubernetes`
  const kubeletNames = [NODE_ADDRESS, ...MORE_NODE_ADDRESSES].map((address) => `IP:${address}`).join(',')
  return {
    ca: kubernetesCa,
    server: await kubernetes('kube-apiserver', '/CN=kube-apiserver', hubNames),
    admin: await kubernetes('admin', '/O=system:masters/CN=admin'),
    proxyServer: await kubernetes('proxy-server-client', '/CN=system:konnectivity-server'),
    kubelet: await kubernetes('kubelet', '/O=system:nodes/CN=system:node:cell', kubeletNames),
    kubeletClient: await kubernetes('kubelet-client', '/O=system:masters/CN=kubelet-client'),
    aggregatedApi: await kubernetes('aggregated-api', '/CN=things', `DNS:${AGGREGATED_API_HOST}`),
    webhook: await kubernetes('webhook', '/CN=gate', `DNS:${WEBHOOK_HOST}`),
    serviceAccount: await kubernetes('service-account', '/CN=service-account'),
  }
}

async function tunnelByOpenssl(folder: string): Promise<Pki['tunnel']> {
  const ca = await issue(folder, 'tunnel-ca', '/CN=tunnel-ca')
  return {
    ca,
    server: await issue(folder, 'proxy-server', '/CN=proxy-server', ca, `IP:${HUB_ADDRESS},IP:127.0.0.1`),
    agent: await issue(folder, 'proxy-agent', '/CN=proxy-agent', ca),
    apiserver: await issue(folder, 'apiserver', '/CN=apiserver', ca),
  }
}

async function tunnelByCulvert(folder: string): Promise<Pki['tunnel']> {
  const dir = join(folder, 'tunnel-pki')
  const pki = async (command: string, name: string, ...args: string[]): Promise<Certificate> => {
    await run(CULVERT, ['pki', command, ...args, '--dir', dir])
    return { cert: join(dir, `${name}.crt`), key: join(dir, `${name}.key`) }
  }
  return {
    ca: await pki('init', 'ca', '--trust-domain', 'hub.example'),
    server: await pki('issue', 'hub-0', 'server', 'hub-0', '--ip', HUB_ADDRESS),
    agent: await pki('issue', 'cell-0', 'agent', 'cell-0'),
    apiserver: await pki('issue', 'apiserver', 'apiserver'),
  }
}

/** Without an issuer the certificate is a CA that signed itself; `names` are its subject alternative names. */
async function issue(folder: string, name: string, subject: string, issuer?: Certificate, names?: string) {
  const made: Certificate = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) }
  const extensions =
    issuer === undefined
      ? ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
      : ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth,clientAuth']
  if (names !== undefined) extensions.push(`subjectAltName=${names}`)
  await run('openssl', [
    ...[
      'req',
      '-config',
      join(folder, 'openssl.cnf'),
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
    ],
    ...['-subj', subject, '-out', made.cert, '-keyout', made.key],
    ...(issuer === undefined ? [] : ['-CA', issuer.cert, '-CAkey', issuer.key]),
    ...extensions.flatMap((extension) => ['-addext', extension]),
  ])
  return made
}
