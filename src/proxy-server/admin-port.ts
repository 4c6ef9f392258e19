/**
 * The admin port: by TLS when it has a certificate, and for whom. On a loopback address whoever is on this machine may ask; where
 * others reach it, only who shows a certificate or the token learns of clusters. docs/fleet.md, docs/adr/0012.
 */
import type { IncomingMessage, Server } from 'node:http'
import type { TLSSocket, Server as TlsServer } from 'node:tls'
import type { Clock } from '../platform/clock.ts'
import { type Answer, createEndpoints, type Refusal, type Routes } from '../platform/endpoints.ts'
import { isLocal, localNames } from '../platform/local-names.ts'
import type { Log } from '../platform/log.ts'
import { type TlsWatch, watchTlsFiles } from '../platform/tls-files.ts'
import type { TlsFile, TlsMaterial } from '../platform/tls-material.ts'
import { showsToken } from './admin-token.ts'
import type { ServerOptions } from './options.ts'

/** Between two looks at the files: milliseconds. */
const LOOK_MS = 5_000
/** Everything that tells of clusters is below this path. */
const FLEET_PATH = '/v1/'

export type AdminPort = Disposable & { readonly server: Server }

export type AdminPortDeps = { readonly clock: Clock; readonly log: Log; readonly badProbe: (why: Refusal) => void }

/** @throws TunnelError `bad-option` for files that cannot be used */
export function createAdminPort(
  options: ServerOptions,
  routes: Routes,
  { clock, log, badProbe }: AdminPortDeps,
): AdminPort {
  const files = filesOf(options)
  const watch: TlsWatch | undefined =
    files &&
    watchTlsFiles(files, {
      clock,
      intervalMs: LOOK_MS,
      changed(material) {
        log.info({ port: 'admin' }, 'TLS files changed, new handshakes use them')
        ;(server as unknown as TlsServer).setSecureContext(secure(material))
      },
      broken: (error) =>
        log.error({ port: 'admin', reason: error.message }, 'TLS files are broken, the ones before stay in use'),
      mended: () => log.info({ port: 'admin' }, 'TLS files are good again'),
    })
  const certified = options.adminCaCert !== ''
  const server = createEndpoints(routes, badProbe, {
    mayBeCalled: localNames(options.adminBindAddress),
    refusal: (path, request) => refusalOf(path, request, options),
    ...(watch && { tls: { ...secure(watch.current()), requestCert: certified, rejectUnauthorized: false } }),
  })
  return { server, [Symbol.dispose]: () => watch?.[Symbol.dispose]() }
}

const secure = ({ cert, key, ca }: TlsMaterial) => ({ cert, key, ca })

function filesOf({ adminCert, adminKey, adminCaCert }: ServerOptions) {
  if (adminCert === '') return undefined
  const file = (flag: string, path: string): TlsFile => ({ flag, path })
  return {
    cert: file('--admin-cert', adminCert),
    key: file('--admin-key', adminKey),
    ...(adminCaCert !== '' && { ca: file('--admin-ca-cert', adminCaCert) }),
  }
}

function refusalOf(path: string, request: IncomingMessage, options: ServerOptions): Answer | undefined {
  const { adminCaCert, adminTokenFile, adminBindAddress } = options
  if (adminCaCert === '' && adminTokenFile === '') {
    return isLocal(adminBindAddress) || !path.startsWith(FLEET_PATH) ? undefined : UNPROTECTED
  }
  if (adminCaCert !== '' && (request.socket as TLSSocket).authorized) return undefined
  if (adminTokenFile !== '' && showsToken(request.headers.authorization, adminTokenFile)) return undefined
  return adminTokenFile === '' ? NO_CERTIFICATE : NO_TOKEN
}

const UNPROTECTED: Answer = {
  status: 403,
  body: 'clusters are not shown beyond this machine without --admin-token-file or --admin-ca-cert\n',
}
const NO_CERTIFICATE: Answer = { status: 403, body: 'this port is for clients with a certificate\n' }
const NO_TOKEN: Answer = {
  status: 401,
  body: 'this port is for clients with a token\n',
  headers: { 'WWW-Authenticate': 'Bearer realm="culvert"' },
}
