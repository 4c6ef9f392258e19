/** Where the processes of a measurement run: all on this machine, or on two ends of a long way. */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { program } from '../test/programs/programs.ts'
import type { WanPath } from './scenarios/scenario.ts'
import { Skipped } from './skipped.ts'

export type Place = {
  /** Stands before a command line to have it run there. */
  readonly enter: readonly string[]
  /** By which the other place reaches it. */
  readonly address: string
}
/** The load and the server are in `hub`, the agent and its targets in `cell`. */
export type Places = {
  readonly hub: Place
  readonly cell: Place
  /** Of a front door: in the hub. */
  readonly door: Place
  /** By which the cell finds the hub; in the certificate of the server. */
  readonly hubName: string
}

export const here: Place = { enter: [], address: '127.0.0.1' }
export const oneMachine: Places = { hub: here, cell: here, door: here, hubName: 'localhost' }

/** Of the range that is meant for benchmarks (RFC 2544), so that it is nobody's. */
export const HUB_ADDRESS = '198.18.0.1'
const CELL_ADDRESS = '198.18.0.2'
export const FAR_HUB_NAME = 'hub.bench.example'
const MTU_BYTES = 1_400
const READY_DEADLINE_MS = 10_000

/**
 * Two network namespaces joined by a way that takes its time and loses packets; disposing it removes them.
 *
 * @throws Skipped where that needs rights or programs that are not there
 */
export async function openWan({ roundTripMs, loss }: WanPath): Promise<Places & AsyncDisposable> {
  if (process.getuid?.() !== 0) throw new Skipped('network namespaces need root')
  const wan = await program('wan').catch((error: Error) => {
    throw new Skipped(error.message)
  })
  await using stack = new AsyncDisposableStack()
  const hub = `culvert-bench-${process.pid}-hub`
  const cell = `culvert-bench-${process.pid}-cell`
  const ends = [
    { namespace: hub, device: `cbh${process.pid}`, address: HUB_ADDRESS },
    { namespace: cell, device: `cbc${process.pid}`, address: CELL_ADDRESS },
  ]
  for (const { namespace } of ends) {
    await ip('netns', 'add', namespace).catch((error: Error) => {
      throw new Skipped(`no network namespace can be made: ${error.message.trim()}`)
    })
    const remove = (): void => void execFileSync('ip', ['netns', 'delete', namespace])
    process.once('exit', remove)
    stack.defer(() => {
      process.off('exit', remove)
      remove()
    })
    await ip('-n', namespace, 'link', 'set', 'lo', 'up')
  }
  const devices = ends.map(({ device }) => device).join(',')
  const flags = [`-devices=${devices}`, `-delay=${roundTripMs / 2}ms`, `-loss=${loss}`]
  const child = spawn(wan, flags, { stdio: ['pipe', 'pipe', 'inherit'] }) // ends with us, by its standard input
  const ended = once(child, 'close')
  stack.defer(async () => {
    child.stdin.end()
    await ended
  })
  const ready = once(createInterface({ input: child.stdout }), 'line', {
    signal: AbortSignal.timeout(READY_DEADLINE_MS),
  })
  ready.catch(() => undefined) // it may have ended before
  await Promise.race([
    ready,
    ended.then(() => {
      throw new Skipped('no TUN device can be made')
    }),
  ])
  for (const { namespace, device, address } of ends) {
    await ip('link', 'set', device, 'netns', namespace)
    await ip('-n', namespace, 'address', 'add', `${address}/30`, 'dev', device)
    await ip('-n', namespace, 'link', 'set', device, 'mtu', String(MTU_BYTES), 'txqueuelen', '5000', 'up')
  }
  const folder = mkdtempSync(join(tmpdir(), 'culvert-bench-hosts-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const hosts = join(folder, 'hosts')
  writeFileSync(hosts, `127.0.0.1 localhost\n${HUB_ADDRESS} ${FAR_HUB_NAME}\n`)
  const enter = (namespace: string): readonly string[] => ['nsenter', `--net=/run/netns/${namespace}`]
  const [command, ...args] = [...withHosts(hosts), 'true']
  await promisify(execFile)(command!, args).catch((error: Error) => {
    throw new Skipped(`no mount namespace can be made: ${error.message.trim()}`)
  })
  const kept = stack.move()
  const inHub: Place = { enter: enter(hub), address: HUB_ADDRESS }
  return {
    hub: inHub,
    door: inHub,
    cell: { enter: [...enter(cell), ...withHosts(hosts)], address: CELL_ADDRESS },
    hubName: FAR_HUB_NAME,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/**
 * One machine, on which a front door has a processor of its own and all else shares one other.
 *
 * @throws Skipped where there are not two processors, or no taskset
 */
export async function doorApart(): Promise<Places & AsyncDisposable> {
  const allowed = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const processors = allowed.split(',').flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
  const [others, door] = processors
  if (others === undefined || door === undefined) throw new Skipped('a processor for the door alone takes two of them')
  await promisify(execFile)('taskset', ['--version']).catch(() => {
    throw new Skipped('taskset is not installed')
  })
  const on = (processor: number): Place => ({ ...here, enter: ['taskset', '--cpu-list', String(processor)] })
  return {
    hub: on(others),
    cell: on(others),
    door: on(door),
    hubName: oneMachine.hubName,
    async [Symbol.asyncDispose]() {},
  }
}

/** What is run knows the names of this file, and nobody else does. */
const withHosts = (file: string): readonly string[] => [
  ...['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/hosts && exec "$@"'],
  file,
]

function ip(...args: string[]): Promise<unknown> {
  return promisify(execFile)('ip', args)
}
