/** The flags of proxy-server: konnectivity's, by its names, and ours. What refuses a command line is in option-rules.ts. */
import { idleKlogOptions } from '../platform/klog-options.ts'
import { logOptions } from '../platform/log-options.ts'
import { boolean, duration, text } from '../platform/option-types.ts'
import type { Values } from '../platform/options.ts'
import { idleOptions, konnectivityOptions } from './konnectivity-options.ts'
import { limitOptions } from './limit-options.ts'

const group = 'Listening'
const ours = {
  serverListenAny: boolean({
    group,
    default: 'false',
    help: 'Frontend on any free TCP port, whatever --server-port says.',
  }),
  portsFile: text({ group, default: '', help: 'File that receives the ports in use, as JSON, once all listen.' }),
  trustDomain: text({
    group,
    default: '',
    help: 'Trust domain whose SPIFFE URIs in certificates decide what a peer may be. Empty: any trust domain.',
  }),
  shutdownQuietTimeMs: duration({
    group,
    default: '2s',
    help: 'After SIGTERM clients are served on; the frontend closes when nothing is open and no client has come for this long, or after --graceful-shutdown-timeout.',
  }),
}

export const serverOptions = {
  ...konnectivityOptions,
  ...logOptions,
  ...ours,
  ...limitOptions,
  ...idleOptions,
  ...idleKlogOptions,
}
export type ServerOptions = Values<typeof serverOptions>
