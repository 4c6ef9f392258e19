/** The line by which a user sends the same request by hand. */
import { ADDRESS, type Certificates } from './certificates.ts'

/** `--noproxy ''`: an exception for loopback addresses in the environment would lead past the tunnel. */
export function curlLine({ ca, user }: Certificates, frontendPort: number, url: string): string {
  return [
    "curl --noproxy '' --proxytunnel",
    `--proxy https://${ADDRESS}:${frontendPort}`,
    `--proxy-cacert ${quoted(ca.certificateFile)}`,
    `--proxy-cert ${quoted(user.certificateFile)} --proxy-key ${quoted(user.keyFile)}`,
    url,
  ].join(' ')
}

/** For a POSIX shell; as it is where that means the same. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}
