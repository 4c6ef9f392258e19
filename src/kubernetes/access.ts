/** Where an API server is and how one authenticates to it, whoever knows that. */
import type { Agent } from 'node:https'

export type ApiAccess = {
  /** https, perhaps with a path. */
  readonly server: URL
  /** Asked for each request, because tokens and certificates are renewed. @throws Error without anything secret in it */
  readonly credentials: () => Promise<ApiCredentials>
}

export type ApiCredentials = {
  readonly headers: Readonly<Record<string, string>>
  /** Options of `https.request`. */
  readonly tls: {
    readonly ca?: string | Buffer
    readonly cert?: string | Buffer
    readonly key?: string | Buffer
    readonly servername?: string
    readonly rejectUnauthorized?: boolean
  }
  /** Connects through a proxy; absent: directly. */
  readonly agent?: Agent
}
