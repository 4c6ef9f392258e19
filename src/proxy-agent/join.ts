/** Gets the agent its first certificate by a join token, before anything else is done; later starts find it in its files. */

import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { isWorthRetrying } from '../pki/enrolment-wire.ts'
import { type JoinToken, readJoinToken } from '../pki/join-token.ts'
import { createSigningRequest } from '../pki/signing-request.ts'
import { type BackoffLimits, backoffMs } from '../platform/backoff.ts'
import { type Clock, elapsed } from '../platform/clock.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import { folderAt } from '../platform/option-files.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { aborted } from '../platform/shutdown.ts'
import { tlsErrorText } from '../platform/tls-alert.ts'
import {
  type CredentialFiles,
  mendCredentials,
  prepareKey,
  storeCertificate,
  tryToWrite,
  usableCertificate,
  writeWhole,
} from './credentials.ts'
import { type Enrolled, EnrolmentRefused, enrol, type Hub } from './enrolment.ts'

/** Waits between attempts: milliseconds. */
const BACKOFF: BackoffLimits = { baseMs: 1_000, capMs: 30_000 }

export type JoinOptions = {
  readonly tokenFile: string
  readonly caFile: string
  readonly files: CredentialFiles
  readonly hubs: readonly Hub[]
}

export type JoinDeps = {
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to, not including, 1. */
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * Does nothing when there is a certificate that is still good. Tries again as long as no hub can be reached.
 *
 * @throws TunnelError when the token is of no use, or the files cannot be written
 */
export async function joinHub({ tokenFile, caFile, files, hubs }: JoinOptions, deps: JoinDeps): Promise<void> {
  const { clock, log, random, signal } = deps
  mendCredentials(files)
  if (usableCertificate(files, clock.unixMs())) return
  const token = tokenOf(tokenFile)
  checkFolders({ '--agent-cert': files.cert, '--agent-key': files.key, '--ca-cert': caFile })
  const key = prepareKey(files)
  for (const file of [files.cert, ...(existsSync(caFile) ? [] : [caFile])]) tryToWrite(file) // before the token is used up
  const { id, secret } = token
  const request = { kind: 'join', id, secret, request: createSigningRequest(key) } as const
  const alive = setInterval(() => undefined, BACKOFF.capMs) // nothing else keeps the program there between attempts
  using _alive = { [Symbol.dispose]: () => clearInterval(alive) }
  let given: { readonly enrolled: Enrolled; readonly server: string } | undefined // asked for once, however long it takes to store it
  for (let failures = 1; !signal.aborted; failures++) {
    const hub = hubs[(failures - 1) % hubs.length]!
    const server = given?.server ?? `${hub.host}:${hub.port}`
    try {
      const ca = existsSync(caFile) ? { ca: readFileSync(caFile, 'utf8') } : {}
      const connection = { material: ca, pinned: token.authority, clock, signal }
      const enrolled = given?.enrolled ?? (await enrol(hub, request, connection))
      const { subject, validToDate } = take(enrolled, key)
      given = { enrolled, server }
      if (enrolled.authority !== undefined && !existsSync(caFile)) writeWhole(caFile, enrolled.authority, 0o644)
      storeCertificate(files, enrolled.certificate)
      log.info({ server, subject: subject?.replaceAll('\n', ', '), end: validToDate.toISOString() }, 'joined the hub')
      return
    } catch (error) {
      if (signal.aborted) return
      const fatal = error instanceof EnrolmentRefused && !isWorthRetrying(error.why)
      const reason = tlsErrorText(error as Error)
      if (fatal)
        throw new TunnelError('forbidden', `--join-token-file: ${server} gave no certificate: ${reason}`, {
          cause: error,
        })
      const what = given ? 'could not store what the hub gave, trying again' : 'could not join the hub, trying again'
      log.warn({ server, reason }, what)
      await Promise.race([elapsed(clock, backoffMs(failures, BACKOFF, random())), aborted(signal)])
    }
  }
}

function tokenOf(file: string): JoinToken {
  try {
    return readJoinToken(readTokenFile(file))
  } catch (cause) {
    if (!(cause instanceof TunnelError)) throw cause
    throw new TunnelError('bad-option', `--join-token-file: ${file}: ${cause.message}`, { cause })
  }
}

/** What a hub gives must be for the key that it was asked for. @throws TunnelError `malformed` */
export function take(
  { certificate }: Enrolled,
  key: Parameters<X509Certificate['checkPrivateKey']>[0],
): X509Certificate {
  try {
    const given = new X509Certificate(certificate)
    if (given.checkPrivateKey(key)) return given
  } catch (cause) {
    throw new TunnelError('malformed', 'the hub gave something that is no certificate', { cause })
  }
  throw new TunnelError('malformed', 'the hub gave a certificate for another key')
}

/** @throws TunnelError `bad-option` with each flag whose file is in a folder that is not there */
function checkFolders(files: Readonly<Record<string, string>>): void {
  const problems = Object.entries(files)
    .filter(([, file]) => folderAt(dirname(file)) === 'nothing')
    .map(([flag, file]) => `${flag}: the folder of ${file} is not there: make ${dirname(file)} first`)
  if (problems.length > 0) throw new TunnelError('bad-option', problems.join('\n'))
}
