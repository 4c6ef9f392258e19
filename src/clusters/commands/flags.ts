/** The flags that more than one command of `culvert clusters` has, and the forms in which they print. */
import { stringify } from 'yaml'
import type { Flag, Given } from '../../platform/command-line.ts'

export const clustersFlag: Flag = {
  takes: 'path',
  default: 'clusters.yaml',
  help: 'The clusters file, or the folder of such files, as proxy-server --clusters has it.',
}

export const outputFlag: Flag = {
  takes: 'format',
  short: 'o',
  default: 'text',
  help: 'text, for people; json or yaml, for scripts.',
  problem: (text) => (['text', 'json', 'yaml'].includes(text) ? undefined : 'text, json or yaml'),
}

export const pathOf = (given: Given): string => given.value('clusters') ?? ''

/** @param text for people */
export function printed(given: Given, value: unknown, text: () => readonly string[]): readonly string[] {
  const format = given.value('output')
  if (format === 'json') return [JSON.stringify(value, undefined, 2)]
  return format === 'yaml' ? [stringify(value, { lineWidth: 0 }).trimEnd()] : text()
}

/** The one word of a command. @returns undefined when it is missing or one of several, and `problems` has it */
export function idOf(given: Given, problems: string[], command: string): string | undefined {
  const [id, ...more] = given.words
  if (id === undefined) problems.push(`name the cluster to ${command}`)
  for (const word of more) problems.push(`${JSON.stringify(word)}: unexpected; ${command} takes one cluster`)
  return more.length === 0 ? id : undefined
}

/** Of a command that takes no words. */
export const wordProblems = (given: Given, command: string): string[] =>
  given.words.map((word) => `${JSON.stringify(word)}: unexpected; ${command} takes flags only`)
