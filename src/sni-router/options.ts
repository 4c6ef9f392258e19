/** The flags of `culvert sni-router`. What it routes is in its configuration file, which can change while it runs. */
import { logOptions } from '../platform/log-options.ts'
import { fileRule } from '../platform/option-files.ts'
import { boolean, duration, file, integer, text } from '../platform/option-types.ts'
import type { Rule, Values } from '../platform/options.ts'

const group = 'Flags'

export const routerOptions = {
  config: file({
    group,
    help: 'Configuration file, in YAML or JSON: docs/front-door.md. It is reloaded when it changes.',
  }),
  check: boolean({ group, default: 'false', help: 'Check the configuration, say what is wrong with it, and end.' }),
  healthBindAddress: text({
    group,
    default: '127.0.0.1',
    help: 'Address of /healthz, /readyz and /metrics, which names every route. Empty: all addresses.',
  }),
  healthPort: integer({
    group,
    default: '8096',
    min: 0,
    max: 65_535,
    help: 'Port of /healthz, /readyz and /metrics; 0 for any free one.',
  }),
  drainTimeoutMs: duration({
    group,
    default: '30s',
    help: 'Longest wait, after the first SIGTERM or SIGINT, for open connections to end. A second signal ends them at once.',
  }),
  portsFile: text({ group, default: '', help: 'File that receives the ports in use, as JSON, once all listen.' }),
  auditLogFile: text({
    group,
    default: '',
    help: 'File that gets a line for each client that is joined to a backend or turned away, and for each end: docs/audit.md. Empty: none.',
  }),
  ...logOptions,
}
export type RouterOptions = Values<typeof routerOptions>

export const routerRules: Rule<RouterOptions>[] = [fileRule(routerOptions, 'config')]
