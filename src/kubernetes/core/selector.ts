/**
 * Whether a text is a label selector, so that a wrong one is reported at the start and not by the API server for ever. Pure.
 * The API server is who selects. Source: Kubernetes, "Labels and Selectors", and the grammar of `labels.Parse` in
 * k8s.io/apimachinery v0.36:
 *
 *   selector     = requirement { "," requirement }, or nothing, which selects everything
 *   requirement  = key | "!" key | key ("=" | "==" | "!=") value | key ("<" | ">") integer
 *                | key ("in" | "notin") "(" value { "," value } ")"
 */
import { keyProblem, valueProblem } from './labels.ts'

/** Undefined when it is one. */
export function selectorProblem(text: string): string | undefined {
  const words = text.match(/==|!=|[=!<>(),]|[^\s=!<>(),]+/g) ?? []
  const problem = words.length === 0 ? undefined : requirementsProblem(words)
  return problem === undefined ? undefined : `${problem}: ${JSON.stringify(text)} is no label selector`
}

function requirementsProblem(words: readonly string[]): string | undefined {
  let at = 0
  const next = (): string => words[at++] ?? ''

  function requirement(): string | undefined {
    if (words[at] === '!') {
      at++
      return keyProblem(next())
    }
    const problem = keyProblem(next())
    if (problem !== undefined) return problem
    if (at === words.length || words[at] === ',') return undefined // the key alone: it must be there
    const operator = next()
    if (operator === 'in' || operator === 'notin') return set()
    if (operator === '<' || operator === '>') return integerProblem(next())
    if (operator === '=' || operator === '==' || operator === '!=') return value()
    return `expected =, ==, !=, in, notin, < or >, got ${JSON.stringify(operator)}`
  }

  /** A value may be empty: then what follows is a comma, a parenthesis, or nothing. */
  function value(): string | undefined {
    const word = words[at] ?? ','
    if (word === ',' || word === ')') return undefined
    at++
    return valueProblem(word)
  }

  function set(): string | undefined {
    if (next() !== '(') return 'expected ( after in or notin'
    for (;;) {
      const problem = value()
      if (problem !== undefined) return problem
      const word = next()
      if (word === ')') return undefined
      if (word !== ',') return `expected , or ) in a set of values, got ${JSON.stringify(word)}`
    }
  }

  for (;;) {
    const problem = requirement()
    if (problem !== undefined) return problem
    if (at === words.length) return undefined
    const word = next()
    if (word !== ',') return `expected , between requirements, got ${JSON.stringify(word)}`
  }
}

function integerProblem(word: string): string | undefined {
  return /^-?\d+$/.test(word) ? undefined : `expected a whole number after < or >, got ${JSON.stringify(word)}`
}
