/** `culvert pki init`: makes the CA of a hub. */
import type { Command } from '../../platform/command-line.ts'
import { AUTHORITY_LIFETIME, parseLifetime } from '../lifetime.ts'
import { AUTHORITY_NAME, writePair } from '../store.ts'
import { AUTHORITY_FOLDER, folderFlag, lifetimeFlag, trustDomainFlag } from './flags.ts'

export const init: Command = {
  usage: 'init --trust-domain <name> [flags]',
  summary: 'Make the certificate authority (CA) of a hub.',
  about: [
    'Writes ca.crt, to be given to everybody, and ca.key (mode 0600), to be kept where certificates are issued: whoever has',
    'it can be any agent, API server, user or server of this hub. The trust domain is part of every identity issued.',
  ],
  flags: {
    'trust-domain': trustDomainFlag('Name of the hub in every identity, by convention its DNS name. Required.'),
    dir: folderFlag,
    lifetime: lifetimeFlag(AUTHORITY_LIFETIME),
    force: { help: 'Replace the CA that is there. What it issued is then worthless.' },
  },
  examples: [
    'culvert pki init --trust-domain hub.example',
    'culvert pki init --trust-domain hub.example --dir /etc/culvert/pki --lifetime 1825d',
  ],
  run: async (given, problems, nowUnixMs) => {
    const trustDomain = given.value('trust-domain')
    const found = [
      ...problems,
      ...given.words.map((word) => `${JSON.stringify(word)}: unexpected; init takes flags only`),
      ...(given.isSet('trust-domain') ? [] : ['--trust-domain: must be set, for example to hub.example']),
    ]
    const folder = given.value('dir') ?? AUTHORITY_FOLDER
    const lifetimeMs = parseLifetime(given.value('lifetime') ?? '')
    if (found.length > 0 || trustDomain === undefined || lifetimeMs === undefined)
      return { kind: 'refused', problems: found }
    const { createAuthority } = await import('../authority.ts') // slow to load: not for help or a mistake
    const authority = await createAuthority({ trustDomain, lifetimeMs, nowUnixMs })
    const files = writePair(folder, AUTHORITY_NAME, authority, given.isSet('force') ? 'replace' : 'keep')
    return {
      kind: 'done',
      lines: [
        `Made the CA of ${trustDomain}, valid for ${given.value('lifetime')}.`,
        `  ${files.certificateFile}  give it to everybody`,
        `  ${files.keyFile}  keep it secret`,
        `Next: culvert pki issue server hub-0 --dns ${trustDomain} --dir ${folder}`,
      ],
    }
  },
}
