/**
 * Takes the new certificate that a connected agent shows: of the same holder, good in itself, and its key at the other end of
 * this connection. The agent's connections count as made with it from then on.
 */
import type { ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { MAX_NEW_CERTIFICATE_BYTES, readNewCertificate } from '../pki/new-certificate.ts'
import { provesPossession } from '../pki/possession.ts'
import { USAGES } from '../pki/usage.ts'
import type { Clock } from '../platform/clock.ts'
import type { Certified } from './agent-joining.ts'
import type { Standing } from './standing.ts'

/** For the whole of it to come: milliseconds. */
const TIMEOUT_MS = 10_000

export type ShownCertificateDeps = {
  readonly clock: Clock
  readonly standing: Standing
  /** Of the agent: its stream's and its lanes'. */
  readonly sockets: () => readonly TLSSocket[]
  /** By the certificate that the connection was made with. */
  readonly certified: Certified
  /** @param problem none: it is in use */
  readonly done: (problem: string | undefined) => void
}

export function takeShownCertificate(stream: ServerHttp2Stream, socket: TLSSocket, deps: ShownCertificateDeps): void {
  const { clock, done } = deps
  const chunks: Buffer[] = []
  let bytes = 0
  /** Answered already, or nobody is there: of a stream that was reset 'close' comes a little later, and to respond would throw. */
  const isOver = (): boolean => stream.headersSent || stream.destroyed || stream.closed
  const answer = (problem: string | undefined): void => {
    if (isOver()) return
    deadline[Symbol.dispose]()
    done(problem)
    stream.respond({ ':status': problem === undefined ? 200 : 403 })
    stream.end(problem ?? '', () => stream.close()) // what still comes of a body that is too long is nobody's
  }
  const deadline = clock.after(TIMEOUT_MS, () => stream.destroy())
  stream.once('close', () => deadline[Symbol.dispose]())
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_NEW_CERTIFICATE_BYTES) return answer(`is over the limit of ${MAX_NEW_CERTIFICATE_BYTES} bytes`)
    chunks.push(chunk)
  })
  stream.once('end', () => {
    if (isOver()) return
    try {
      answer(judge(Buffer.concat(chunks).toString('latin1'), socket, deps))
    } catch {
      answer('cannot be read') // a stranger has made it: what OpenSSL takes for a certificate may still throw when it is asked
    }
  })
}

function judge(body: string, socket: TLSSocket, deps: ShownCertificateDeps): string | undefined {
  const { clock, standing, sockets, certified } = deps
  const shown = readNewCertificate(body)
  if (!shown) return 'cannot be read'
  const { leaf, brought, proof } = shown
  const { subjectAltName } = leaf
  const peer = { required: true, present: true, error: undefined, subject: subjectOf(leaf.subject), subjectAltName }
  const admission = certified.by(peer)
  if (admission.kind === 'refused') return `is not accepted: ${admission.cause}`
  if (admission.principal !== certified.principal || admission.cluster !== certified.cluster)
    return 'is of another holder than the connection'
  if (leaf.ca || (leaf.keyUsage && !leaf.keyUsage.includes(USAGES.connect.oid))) return 'is not for clients'
  if (leaf.validFromDate.getTime() > clock.unixMs()) return 'is not valid yet'
  if (!provesPossession(socket, leaf, proof)) return 'is not proved to be of who shows it'
  const cause = standing.renew(sockets(), leaf, brought)
  return cause && `is ${cause}`
}

const subjectOf = (subject: string | undefined): string => subject?.replaceAll('\n', ', ') ?? ''
