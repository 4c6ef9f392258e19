/** What the server of a link knows of the agent's token, while the connection lasts: whoever exchanges the file, as a kubelet does, has the next one shown. */
import type { ClientHttp2Session } from 'node:http2'
import { NEW_TOKEN_PATH } from '../kubernetes/core/new-token.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { createKnownCredential, type KnownCredential, type KnownCredentialDeps } from './known-credential.ts'
import { showOver } from './new-credential.ts'

export type KnownTokenDeps = Pick<KnownCredentialDeps, 'clock' | 'random'> & {
  readonly http: ClientHttp2Session
  readonly tokenFile: string
}

/** @param shown what the connection is made with; none: no token is shown */
export function createKnownToken(
  { http, tokenFile, clock, random }: KnownTokenDeps,
  shown: string | undefined,
): KnownCredential {
  const current: KnownCredentialDeps['current'] = () => {
    const token = shown === undefined ? undefined : readable(tokenFile)
    if (token === undefined) return undefined
    const headers = { ':path': NEW_TOKEN_PATH, authorization: `Bearer ${token}` }
    return { text: token, show: (done) => showOver(http, headers, '', done) }
  }
  return createKnownCredential({ what: 'token', current, clock, random }, shown)
}

/** Who watches the file tells of one that cannot be read (`token-file.ts`). */
function readable(file: string): string | undefined {
  try {
    return readTokenFile(file)
  } catch {
    return undefined
  }
}
