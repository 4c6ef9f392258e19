/** What the server of a link knows of the agent's token, while the connection lasts: whoever exchanges the file, as a kubelet does, has the next one shown. */
import { createHash } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import { NEW_TOKEN_PATH } from '../kubernetes/core/new-token.ts'
import { createKnownCredential, type KnownCredential, type KnownCredentialDeps } from './known-credential.ts'
import { showOver } from './new-credential.ts'

/** The API server may take the old token for a few seconds only, and a server that could not ask it can soon. */
const SHOW_AGAIN = { baseMs: 2_000, capMs: 15_000 }

export type KnownTokenDeps = Pick<KnownCredentialDeps, 'clock' | 'random'> & {
  readonly http: ClientHttp2Session
  /** What the watch of the file goes by: also while that cannot be read (`token-file.ts`). */
  readonly currentToken: () => string
}

/** @param own what the connection is made with; none: no token is shown */
export function createKnownToken(
  { http, currentToken, clock, random }: KnownTokenDeps,
  own: string | undefined,
): KnownCredential {
  // By digests: the first token is of no use any more when there is another one.
  const shown = own === undefined ? undefined : digestOf(own)
  let before: string | undefined = digestOf(currentToken()) // the file, as it was read for the connection, may be newer than this
  const current: KnownCredentialDeps['current'] = () => {
    const token = currentToken()
    const text = digestOf(token)
    if (shown === undefined || text === before) return undefined
    before = undefined
    const headers = { ':path': NEW_TOKEN_PATH, authorization: `Bearer ${token}` }
    return { text, show: (done) => showOver(http, headers, '', done) }
  }
  return createKnownCredential({ what: 'token', current, showAgain: SHOW_AGAIN, clock, random }, shown)
}

const digestOf = (token: string): string => createHash('sha256').update(token).digest('base64')
