/**
 * Two network namespaces on one machine: `hub`, and `cell`, a cluster that accepts no inbound connection.
 *
 *   hub 10.77.0.1 ── veth ── 10.77.0.2 cell, where all of 10.88.0.0/16 is local
 *
 * Or a hub with several cells, all with the addresses of 10.88.0.0/16; only those on the wire differ. The hub has no route to 10.88.0.0/16, and the cell drops every connection that is opened from the hub. kube-apiserver
 * refuses to proxy to loopback addresses, which is why the cluster needs addresses of its own.
 *
 * The names carry the id of the process that made them: runs do not collide, and what a killed run left behind is known.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const HUB_ADDRESS = '10.77.0.1'
export const CELL_ADDRESS = '10.77.0.2'
export const NODE_ADDRESS = '10.88.0.1'
/** Of nodes that a test adds. */
export const MORE_NODE_ADDRESSES = ['10.88.0.2', '10.88.0.3']
export const POD_RANGE = '10.88.1.0/24'
const CLUSTER_RANGE = '10.88.0.0/16'

export type Network = { readonly hub: string; readonly cell: string }

/** Makes both namespaces; they and `folderOf(process.pid)*` belong to this process until `removeAllOf(process.pid)`. */
export function makeNetwork(): Network {
  const hub = makeNamespace('hub')
  const cell = makeNamespace('cell')
  ip('link', 'add', 'to-cell', 'netns', hub, 'type', 'veth', 'peer', 'name', 'to-hub', 'netns', cell)
  ip('-n', hub, 'address', 'add', `${HUB_ADDRESS}/24`, 'dev', 'to-cell')
  ip('-n', hub, 'link', 'set', 'to-cell', 'up')
  joinHub(cell, CELL_ADDRESS)
  return { hub, cell }
}

/** The same with one hub and `cells` cells, up to 200. In the hub their wires meet in a bridge, which has the hub's address. */
export function makeNetworks(cells: number): Network[] {
  const hub = makeNamespace('hub')
  ip('-n', hub, 'link', 'add', 'cells', 'type', 'bridge')
  ip('-n', hub, 'address', 'add', `${HUB_ADDRESS}/24`, 'dev', 'cells')
  ip('-n', hub, 'link', 'set', 'cells', 'up')
  return Array.from({ length: cells }, (_, index) => {
    const cell = makeNamespace(`cell-${index}`)
    const wire = `to-cell-${index}`
    ip('link', 'add', wire, 'netns', hub, 'type', 'veth', 'peer', 'name', 'to-hub', 'netns', cell)
    ip('-n', hub, 'link', 'set', wire, 'master', 'cells', 'up')
    joinHub(cell, `10.77.0.${2 + index}`)
    return { hub, cell }
  })
}

/** From here on everything between the cell and its hub is dropped without a word, or goes through again. */
export function silence({ cell }: Network, silent: boolean): void {
  for (const [chain, device] of [
    ['INPUT', '-i'],
    ['OUTPUT', '-o'],
  ] as const) {
    const rule = silent ? ['-I', chain, '1'] : ['-D', chain]
    ip('netns', 'exec', cell, 'iptables', ...rule, device, 'to-hub', '-j', 'DROP')
  }
}

/**
 * From here on what one end of a connection on the loopback interface of this machine sends is dropped without a word, until the returned
 * function is called. The rule belongs to this process, as a namespace does.
 */
export function dropBetween(fromPort: number, toPort: number): () => void {
  const name = `${nameOf(process.pid)}-from-${fromPort}-to-${toPort}`
  const ports = ['--sport', `${fromPort}`, '--dport', `${toPort}`]
  iptables('-I', 'INPUT', '-i', 'lo', '-p', 'tcp', ...ports, '-m', 'comment', '--comment', name, '-j', 'DROP')
  return () => removeRules((rule) => rule.name === name)
}

/** In the place of /etc/hosts: names of the hub. */
export function hostsOf(names: readonly string[]): string {
  return `127.0.0.1 localhost\n${names.map((name) => `${HUB_ADDRESS} ${name}\n`).join('')}`
}

/** What `readlink /proc/self/ns/net` says in that namespace, and in no other. */
export function placeOf(namespace: string): string {
  return `net:[${statSync(join('/run/netns', namespace)).ino}]`
}

function makeNamespace(name: string): string {
  const namespace = `${nameOf(process.pid)}-${name}`
  ip('netns', 'add', namespace)
  ip('-n', namespace, 'link', 'set', 'lo', 'up')
  return namespace
}

/** The cell's end of the wire: it takes no connection that is opened from there. */
function joinHub(cell: string, address: string): void {
  ip('-n', cell, 'address', 'add', `${address}/24`, 'dev', 'to-hub')
  ip('-n', cell, 'link', 'set', 'to-hub', 'up')
  ip('-n', cell, 'route', 'add', 'local', CLUSTER_RANGE, 'dev', 'lo')
  const dropNew = ['-A', 'INPUT', '-i', 'to-hub', '-m', 'conntrack', '--ctstate', 'NEW', '-j', 'DROP']
  ip('netns', 'exec', cell, 'iptables', ...dropNew)
}

/** What a temporary folder of this process is called, but for the random end. */
export function folderOf(pid: number): string {
  return join(tmpdir(), `${nameOf(pid)}-`)
}

/** Ends what runs in the namespaces of that process, and removes them, its rules and its folders. Synchronous, for signal handlers. */
export function removeAllOf(owner: number): void {
  for (const namespace of namespaces().filter(({ pid }) => pid === owner)) {
    removeNamespace(namespace.name)
  }
  removeRules(({ pid }) => pid === owner)
  for (const folder of folders().filter(({ pid }) => pid === owner)) {
    rmSync(join(tmpdir(), folder.name), { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Removes what runs that were killed have left; returns the names of what it found. */
export function removeOrphans(): readonly string[] {
  const orphans = [...namespaces(), ...rules(), ...folders()].filter(({ pid }) => !isAlive(pid))
  for (const pid of new Set(orphans.map(({ pid }) => pid))) removeAllOf(pid)
  return orphans.map(({ name }) => name)
}

function removeNamespace(name: string): void {
  try {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) kill(Number(pid))
    ip('netns', 'delete', name)
  } catch (error) {
    if (namespaces().some((left) => left.name === name)) throw error // else another run has just removed it
  }
}

function removeRules(isMeant: (rule: Rule) => boolean): void {
  for (const { name, text } of rules().filter(isMeant)) {
    try {
      iptables('-D', ...text)
    } catch (error) {
      if (rules().some((left) => left.name === name)) throw error // else another run has just removed it
    }
  }
}

type Owned = { readonly name: string; readonly pid: number }

function namespaces(): Owned[] {
  const names = ip('netns', 'list').split('\n')
  return names.flatMap((line) => owned(line.split(' ')[0] ?? ''))
}

/** `text`: the chain and all that follows. */
type Rule = Owned & { readonly text: readonly string[] }

function rules(): Rule[] {
  const lines = iptables('-S', 'INPUT').replaceAll('"', '').split('\n')
  return lines.flatMap((line) => {
    const [, ...text] = line.split(' ') // the first is -A
    return owned(text[text.indexOf('--comment') + 1] ?? '').map((rule) => ({ ...rule, text }))
  })
}

function folders(): Owned[] {
  return readdirSync(tmpdir()).flatMap(owned)
}

function owned(name: string): Owned[] {
  const [, pid] = /^culvert-e2e-(\d+)-/.exec(name) ?? []
  return pid === undefined ? [] : [{ name, pid: Number(pid) }]
}

function nameOf(pid: number): string {
  return `culvert-e2e-${pid}`
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself in between.
  }
}

const ip = (...args: string[]): string => run('ip', args)
const iptables = (...args: string[]): string => run('iptables', ['-w', ...args])

function run(command: string, args: readonly string[]): string {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}
