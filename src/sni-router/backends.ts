/**
 * The backends of all routes: the addresses behind each `host:port`, which of them are well, and how many connections each has.
 * A client's connection tells as much as a check, so a backend that clients reach is checked less.
 */
import { isIP } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Connect } from './connecting.ts'
import { type Readiness, type Target, targetText } from './core/config.ts'
import { type Health, type HealthRule, judged, unknownHealth } from './core/health.ts'
import { checkOnce } from './health-check.ts'
import type { Answer, WatchName } from './names.ts'
import { createTurns } from './turns.ts'

/** Checks under way at once: each has a descriptor, of which clients need most. */
export const MAX_CHECKS = 256

export type Member = {
  readonly ip: string
  readonly port: number
  readonly readiness: Readiness | undefined
  /** As the log shows it. */
  readonly shown: string
  health: Health
  active: number
  chosen: number
  /** When a client last reached it, if none has failed to since. */
  reachedMs: number
}
export type Backends = Disposable & {
  /** These and no others, by this rule, from now on; those that stay keep what is known of them. */
  readonly use: (targets: readonly Target[], rule: HealthRule) => void
  /** Calls once, at the first answer about one of these that has had none; undefined: all have. Disposing takes it back. */
  readonly nextAnswer: (targets: readonly Target[], call: () => void) => Disposable | undefined
  readonly members: (targets: readonly Target[]) => readonly Member[]
  /** By a client's connection. */
  readonly tried: (member: Member, result: 'ok' | 'failed') => void
}
type Deps = {
  readonly clock: Clock
  readonly log: Log
  readonly watchName: WatchName
  readonly connect: Connect
  /** From 0 to 1, so that checks do not come all at once. */
  readonly random: () => number
}
type Pool = Disposable & {
  readonly members: Map<string, Checked>
  /** Who waits for the first answer about its name; undefined: that has come, or it is an address. */
  waiting: Set<() => void> | undefined
  /** Lookups and checks in the rhythm of the rule as it is now. */
  readonly restart: () => void
}
type Checked = Disposable & { readonly member: Member; readonly restart: () => void }

export function createBackends({ clock, log, watchName, connect, random }: Deps): Backends {
  const pools = new Map<string, Pool>()
  const turns = createTurns(MAX_CHECKS)
  let rule: HealthRule = { intervalMs: 5_000, timeoutMs: 2_000, fall: 2, rise: 1 }

  function judge(member: Member, result: 'ok' | 'failed'): void {
    const before = member.health.state
    member.health = judged(member.health, result, rule)
    if (member.health.state === before) return
    if (before === 'up') log.warn({ backend: member.shown }, 'backend is down')
    else log.info({ backend: member.shown }, 'backend is up again')
  }

  function checked(ip: string, { port, readiness }: Target): Checked {
    const shown = targetText({ host: ip, port })
    const member: Member = {
      ...{ ip, port, readiness, shown, health: unknownHealth, active: 0, chosen: 0 },
      reachedMs: Number.NEGATIVE_INFINITY,
    }
    let next: Disposable | undefined // a check, or the wait for the next
    const after = (ms: number): void => {
      next = clock.after(ms, look)
    }
    const restart = (): void => {
      next?.[Symbol.dispose]()
      after(random() * rule.intervalMs) // it is taken for well until then
    }
    const look = (): void => {
      const isInUse = member.health.state === 'up' && clock.now() - member.reachedMs < rule.intervalMs
      if (isInUse && !readiness) return after(rule.intervalMs)
      next = turns((done) => {
        const check = checkOnce(member, rule.timeoutMs, { clock, connect }, (result) => {
          done()
          judge(member, result)
          after(rule.intervalMs)
        })
        const giveUp = (): void => {
          check[Symbol.dispose]()
          done()
        }
        return { [Symbol.dispose]: giveUp }
      })
    }
    restart()
    return { member, restart, [Symbol.dispose]: () => next?.[Symbol.dispose]() }
  }

  function open(target: Target): Pool {
    const { host } = target
    const members = new Map<string, Checked>()
    if (isIP(host) !== 0) {
      const only = checked(host, target)
      members.set(host, only)
      return { members, waiting: undefined, restart: only.restart, [Symbol.dispose]: only[Symbol.dispose] }
    }
    const pool: Pool = {
      members,
      waiting: new Set(),
      restart() {
        watch[Symbol.dispose]()
        watch = look()
        for (const known of members.values()) known.restart()
      },
      [Symbol.dispose]() {
        watch[Symbol.dispose]()
        disposeAll(members.values())
        answered(pool)
      },
    }
    let failed = false
    const look = (): Disposable => watchName(host, () => rule.intervalMs, told)
    let watch = look()
    return pool

    function told(answer: Answer): void {
      if ('error' in answer) {
        if (!failed) log.warn({ host, err: answer.error }, 'backend has no address now: those it had stay in use')
      } else {
        if (failed) log.info({ host }, 'backend has addresses again')
        for (const [ip, known] of members) {
          if (answer.ips.includes(ip)) continue
          members.delete(ip)
          known[Symbol.dispose]()
        }
        for (const ip of answer.ips) if (!members.has(ip)) members.set(ip, checked(ip, target))
      }
      failed = 'error' in answer
      answered(pool)
    }
  }

  return {
    use(targets, newRule) {
      const isOtherPace = newRule.intervalMs !== rule.intervalMs
      rule = newRule
      const wanted = new Map(targets.map((target) => [keyOf(target), target]))
      for (const [key, pool] of pools) {
        if (wanted.has(key)) continue
        pools.delete(key)
        pool[Symbol.dispose]()
      }
      if (isOtherPace) for (const pool of pools.values()) pool.restart()
      for (const [key, target] of wanted) if (!pools.has(key)) pools.set(key, open(target))
    },
    nextAnswer(targets, call) {
      const places = targets.flatMap((target) => pools.get(keyOf(target))?.waiting ?? [])
      if (places.length === 0) return undefined
      const leave = (): void => {
        for (const place of places) place.delete(once)
      }
      const once = (): void => {
        leave()
        call()
      }
      for (const place of places) place.add(once)
      return { [Symbol.dispose]: leave }
    },
    members: (targets) =>
      targets.flatMap((target) => [...(pools.get(keyOf(target))?.members.values() ?? [])].map(({ member }) => member)),
    tried(member, result) {
      member.reachedMs = result === 'ok' ? clock.now() : Number.NEGATIVE_INFINITY
      if (result === 'ok' && member.readiness) return // one that is not ready may accept
      judge(member, result)
    },
    [Symbol.dispose]() {
      disposeAll(pools.values())
      pools.clear()
    },
  }
}

/** Of two routes with the same backend one may ask whether it is ready, and the other one may not. */
const keyOf = (target: Target): string =>
  target.readiness ? `${targetText(target)} ${target.readiness.port}${target.readiness.path}` : targetText(target)

/** It has its first answer, or will have none. */
function answered(pool: Pool): void {
  const waiting = pool.waiting ?? []
  pool.waiting = undefined
  for (const call of waiting) call()
}

function disposeAll(all: Iterable<Disposable>): void {
  for (const one of all) one[Symbol.dispose]()
}
