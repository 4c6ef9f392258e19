/** The files that an agent is given and looks at while it runs: TLS, revocation lists, its cluster's policy. */
import { type CrlFile, type CrlFileDeps, watchCrlFile } from '../pki/crl-file.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { type TlsWatch, watchTlsFiles } from '../platform/tls-files.ts'
import { type Watch, watchTexts } from '../platform/watched.ts'
import { loadPolicy, MAX_POLICY_BYTES, type Policy } from '../policy/policy.ts'
import type { AgentOptions } from './options.ts'

/** Between two looks at the TLS files and the policy: milliseconds. */
const LOOK_MS = 5_000

export function watchAgentTls(options: AgentOptions, clock: Clock, log: Log, changed: () => void): TlsWatch {
  const files = {
    ca: { flag: '--ca-cert', path: options.caCert },
    ...(options.agentCert !== '' && {
      cert: { flag: '--agent-cert', path: options.agentCert },
      key: { flag: '--agent-key', path: options.agentKey },
    }),
  }
  return watchTlsFiles(files, {
    clock,
    intervalMs: LOOK_MS,
    changed() {
      log.info({}, 'TLS files changed, the next connection uses them')
      changed()
    },
    broken: (error) => log.error({ reason: error.message }, 'TLS files are broken, the ones before stay in use'),
    mended: () => log.info({}, 'TLS files are good again'),
  })
}

/**
 * By which the agent knows servers that are revoked.
 *
 * @throws TunnelError `bad-option` with every mistake, one per line
 */
export function watchAgentCrl(
  { crlFile }: Pick<AgentOptions, 'crlFile'>,
  { authorities, ...deps }: CrlFileDeps & { readonly authorities: () => string | undefined },
): CrlFile | undefined {
  if (crlFile === '') return undefined
  return watchCrlFile({ flag: '--crl-file', path: crlFile }, () => authorities() ?? '', deps)
}

/** @throws TunnelError `bad-option` with every problem of the file, one per line: without its policy an agent does not start */
export function watchPolicy({ policyFile }: AgentOptions, clock: Clock, log: Log): Watch<Policy> | undefined {
  if (policyFile === '') return undefined
  const source = { flag: '--policy-file', path: policyFile, maxBytes: MAX_POLICY_BYTES }
  return watchTexts(source, loadPolicy, {
    clock,
    intervalMs: LOOK_MS,
    changed: ({ version }) => log.info({ version }, 'policy changed'),
    broken: (error) => log.error({ reason: error.message }, 'policy is broken, the one before stays in force'),
    mended: () => log.info({}, 'policy is good again'),
  })
}
