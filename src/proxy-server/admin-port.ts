/**
 * The admin port: by TLS when it has a certificate, and for whom. On a loopback address whoever is on this machine may ask; where
 * others reach it, only who shows the certificate of a user or the token learns of clusters. docs/fleet.md, docs/adr/0012.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { TLSSocket, Server as TlsServer } from 'node:tls'
import type { Audit } from '../audit/record.ts'
import { createRepeatedAudit } from '../audit/repeated.ts'
import type { Clock } from '../platform/clock.ts'
import { type Answer, createEndpoints, type Refusal, type Routes } from '../platform/endpoints.ts'
import { isLocal, localNames } from '../platform/local-names.ts'
import type { Log } from '../platform/log.ts'
import { type TlsWatch, watchTlsFiles } from '../platform/tls-files.ts'
import type { TlsFile, TlsMaterial } from '../platform/tls-material.ts'
import { showsToken } from './admin-token.ts'
import { verify } from './core/admission.ts'
import { watchCrlFiles } from './crl-files.ts'
import type { ServerMetrics } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import { plainAddress } from './source.ts'
import { createStanding, type Standing } from './standing.ts'
import { peerCertificate, SECURE_OPTIONS } from './tls-listener.ts'

/** Between two looks at the files: milliseconds. */
const LOOK_MS = 5_000
/** Everything that tells of clusters is below this path. */
const FLEET_PATH = '/v1/'

export type AdminPort = Disposable & {
  readonly server: Server
  /** In use, by flag: PEM. */
  readonly certificates: () => Record<string, string | undefined>
}

export type AdminPortDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly badProbe: (why: Refusal) => void
  readonly cutOff: ServerMetrics['cutOff']
  readonly audit?: Audit | undefined
}

/** What somebody is told who may not ask, and what the audit log is. */
type Refused = Answer & { readonly reason: string }

/** @throws TunnelError `bad-option` for files that cannot be used */
export function createAdminPort(
  options: ServerOptions,
  routes: Routes,
  { clock, log, badProbe, cutOff, audit }: AdminPortDeps,
): AdminPort {
  using opened = new DisposableStack()
  const files = filesOf(options)
  const watch: TlsWatch | undefined =
    files &&
    watchTlsFiles(files, {
      clock,
      intervalMs: LOOK_MS,
      changed(material) {
        log.info({ port: 'admin' }, 'TLS files changed, new handshakes use them')
        ;(server as unknown as TlsServer).setSecureContext(secure(material))
        crlFiles?.check()
        standing?.look()
      },
      broken: (error) =>
        log.error({ port: 'admin', reason: error.message }, 'TLS files are broken, the ones before stay in use'),
      mended: () => log.info({ port: 'admin' }, 'TLS files are good again'),
    })
  if (watch) opened.use(watch)
  const certified = options.adminCaCert !== ''
  // The frontends' lists: who may use this port is a user there.
  const crlFiles =
    watch && certified
      ? opened.use(
          watchCrlFiles(
            { serverCrlFile: options.serverCrlFile, clusterCrlFile: '' },
            { material: () => watch.current() },
            { clock, log: log.child({ port: 'admin' }), changed: () => standing?.look() },
          ),
        )
      : undefined
  const standing =
    crlFiles &&
    opened.use(
      createStanding({
        port: 'admin',
        trustDomain: options.trustDomain || undefined,
        authorities: () => watch?.current().ca,
        revocations: () => crlFiles.current('frontend'),
        clock,
        log,
        metrics: { cutOff },
        audit,
      }),
    )
  const auditOften = audit && createRepeatedAudit(audit, clock) // anybody who reaches the port may ask as often as he likes
  const server = createEndpoints(routes, badProbe, {
    mayBeCalled: localNames(options.adminBindAddress),
    refusal(path, request) {
      const refused = refusalOf(path, request, options, standing)
      const source = plainAddress(request.socket.remoteAddress)
      if (refused) auditOften?.({ event: 'admin', source, verdict: 'refused', reason: refused.reason })
      return refused
    },
    ...(watch && { tls: { ...secure(watch.current()), requestCert: certified, rejectUnauthorized: false } }),
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    if (certified && socket.authorized) standing?.hold(socket)
  })
  const disposables = opened.move()
  return {
    server,
    certificates: () => ({ 'admin-cert': watch?.current().cert, 'admin-ca-cert': watch?.current().ca }),
    [Symbol.dispose]: () => disposables.dispose(),
  }
}

const secure = ({ cert, key, ca }: TlsMaterial) => ({ cert, key, ca, secureOptions: SECURE_OPTIONS })

function filesOf({ adminCert, adminKey, adminCaCert }: ServerOptions) {
  if (adminCert === '') return undefined
  const file = (flag: string, path: string): TlsFile => ({ flag, path })
  return {
    cert: file('--admin-cert', adminCert),
    key: file('--admin-key', adminKey),
    ...(adminCaCert !== '' && { ca: file('--admin-ca-cert', adminCaCert) }),
  }
}

/** Whoever may ask for anything here may ask for clusters. */
export function mayTellOfClusters({ adminCaCert, adminTokenFile, adminBindAddress }: ServerOptions): boolean {
  return adminCaCert !== '' || adminTokenFile !== '' || isLocal(adminBindAddress)
}

function refusalOf(
  path: string,
  request: IncomingMessage,
  options: ServerOptions,
  standing: Standing | undefined,
): Refused | undefined {
  const { adminCaCert, adminTokenFile } = options
  if (adminCaCert === '' && adminTokenFile === '') {
    return mayTellOfClusters(options) || !path.startsWith(FLEET_PATH) ? undefined : UNPROTECTED
  }
  const problem = adminCaCert === '' ? undefined : certificateProblem(request.socket as TLSSocket, options, standing)
  if (adminCaCert !== '' && problem === undefined) return undefined
  if (adminTokenFile !== '' && showsToken(request.headers.authorization, adminTokenFile)) return undefined
  if (adminTokenFile !== '') return NO_TOKEN
  const reason = `client certificate not accepted: ${problem}`
  return { status: 403, body: `this port is for users with a certificate: ${problem}\n`, reason }
}

/** The port tells of all clusters: the certificates of agents and API servers, who are of one, are not for it. */
function certificateProblem(
  socket: TLSSocket,
  { tenancy, trustDomain }: ServerOptions,
  standing: Standing | undefined,
): string | undefined {
  const verified = verify(
    peerCertificate(socket, true, standing),
    ['user'],
    trustDomain === '' ? undefined : trustDomain,
  )
  if (verified.kind === 'refused') return verified.cause
  const nameless = tenancy === 'multi' && verified.identity.role === 'none' // may be that of anybody in --clusters
  return nameless ? 'it does not say that it is a user certificate' : undefined
}

const UNPROTECTED: Refused = {
  status: 403,
  body: 'clusters are not shown beyond this machine without --admin-token-file or --admin-ca-cert\n',
  reason: 'the port is not protected',
}
const NO_TOKEN: Refused = {
  status: 401,
  reason: 'no token that is accepted',
  body: 'this port is for clients with a token\n',
  headers: { 'WWW-Authenticate': 'Bearer realm="culvert"' },
}
