/** What the e2e tests need of the machine. A missing tool fails the run: a skipped proof is none. */
import { execFileSync } from 'node:child_process'
import { missingGo } from '../programs/programs.ts'

/** What a reader has to install or to do, in one line; undefined when nothing is missing. */
export async function missingPrerequisites(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'the e2e tests need Linux'
  const missing: string[] = []
  if (process.getuid?.() !== 0) missing.push('root, for network namespaces')
  const packages = [
    ['ip', 'iproute2'],
    ['iptables', 'iptables'],
    ['openssl', 'openssl'],
    ['tar', 'tar'],
    ['setpriv', 'util-linux'],
    ['curl', 'curl'],
    ['haproxy', 'haproxy'],
  ] as const
  const absent = packages.filter(([command]) => !isInstalled(command)).map(([, name]) => name)
  if (absent.length > 0) missing.push(`${absent.join(', ')} (apt-get install ${absent.join(' ')})`)
  const go = await missingGo()
  if (go !== undefined) missing.push(go)
  return missing.length === 0 ? undefined : `the e2e tests need: ${missing.join('; ')}`
}

function isInstalled(command: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
