/** `culvert`: finds the command by its name and runs it. A command is loaded only when it is asked for. */
import { readFileSync } from 'node:fs'

type Entry = {
  readonly summary: string
  /** @returns the exit code */
  readonly run: (argv: readonly string[]) => Promise<number>
}

const commands: Readonly<Record<string, Entry>> = {
  pki: {
    summary: 'Make and inspect the certificates of a hub.',
    run: async (argv) => (await import('./pki.ts')).pki(argv),
  },
  audit: {
    summary: 'Check the audit logs of both ends.',
    run: async (argv) => (await import('./audit.ts')).audit(argv),
  },
  status: {
    summary: 'Show which clusters are connected to a running hub.',
    run: async (argv) => (await import('./status.ts')).status(argv),
  },
  clusters: {
    summary: 'Edit and explain the clusters that a hub knows.',
    run: async (argv) => (await import('./clusters.ts')).clusters(argv),
  },
  token: {
    summary: 'Let agents join a hub.',
    run: async (argv) => (await import('./token.ts')).token(argv),
  },
  'sni-router': {
    summary: 'The front door that many clusters share: TLS passed on by its server name.',
    run: async (argv) => (await import('./sni-router.ts')).sniRouter(argv),
  },
  policy: {
    summary: 'Check and explain what may be dialled.',
    run: async (argv) => (await import('./policy.ts')).policy(argv),
  },
}

const width = Math.max(...Object.keys(commands).map((name) => name.length)) + 2
const help = [
  'Culvert reaches Kubernetes clusters that accept no inbound connection.',
  '',
  'Usage: culvert <command> [flags]',
  '',
  'Commands:',
  ...Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}${summary}`),
  '',
  'Flags:',
  '  -h, --help     Show this; after a command, what is known of it.',
  '      --version  Show the version.',
  '',
  'The tunnel itself is two programs of their own: proxy-server and proxy-agent.',
  '',
  'Examples:',
  '  culvert pki init --trust-domain hub.example',
  '  culvert pki issue --help',
  '  culvert sni-router --config front-door.yaml',
  '  culvert policy test 10.0.0.7:10250 --policy-file policy.yaml',
].join('\n')

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv
  if (name === '--help' || name === '-h' || name === 'help') {
    console.log(help)
    return 0
  }
  if (name === '--version') {
    console.log(version())
    return 0
  }
  const entry = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry !== undefined) return entry.run(rest)
  const kind = name?.startsWith('-') ? 'flag' : 'command'
  console.error(`culvert: ${name === undefined ? 'no command given' : `unknown ${kind} ${JSON.stringify(name)}`}`)
  console.error(`expected one of ${Object.keys(commands).join(', ')}; "culvert --help" says more`)
  return 1
}

/** package.json is two folders up from here, in a checkout (src/cli) as in a package (dist/cli). */
function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return `culvert ${version}`
}

process.exitCode = await main(process.argv.slice(2))
