/**
 * What an agent says it can reach: a URL query string, read as konnectivity's server reads it with Go's url.ParseQuery.
 * Pure. Keys that are not known are passed over, so that a newer agent may say more.
 */

export type Identifiers = {
  readonly ipv4: readonly string[]
  readonly ipv6: readonly string[]
  readonly host: readonly string[]
  /** Kept to be shown; no strategy looks at it. */
  readonly cidr: readonly string[]
  readonly defaultRoute: boolean
}

export type ReadIdentifiers = { readonly identifiers: Identifiers } | { readonly problem: string }

/** Go's own limit. */
const MAX_PARAMETERS = 10_000
/** What Go's strconv.ParseBool takes for true. */
const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True']

export function readIdentifiers(text: string): ReadIdentifiers {
  const problem = queryProblem(text)
  if (problem !== undefined) return { problem }
  const query = new URLSearchParams(`&${text}`) // at the very beginning it would pass over a question mark
  const all = (key: string): string[] => [...new Set(query.getAll(key))].filter((value) => value !== '')
  return {
    identifiers: {
      ipv4: all('ipv4'),
      ipv6: all('ipv6'),
      host: all('host'),
      cidr: all('cidr'),
      defaultRoute: TRUE.includes(query.get('default-route') ?? ''), // the first one counts
    },
  }
}

/** By these the strategy destHost finds an agent, each once. */
export const hostsOf = ({ ipv4, ipv6, host }: Identifiers): ReadonlySet<string> => new Set([...ipv4, ...ipv6, ...host])

export const countIdentifiers = ({ ipv4, ipv6, host, cidr }: Identifiers): number =>
  ipv4.length + ipv6.length + host.length + cidr.length

/** The mistakes that Go refuses and URLSearchParams lets through, in Go's words. */
function queryProblem(text: string): string | undefined {
  const parameters = text.split('&', MAX_PARAMETERS + 1)
  if (parameters.length > MAX_PARAMETERS) return 'number of URL query parameters exceeded limit'
  if (text.includes(';')) return 'invalid semicolon separator in query'
  for (const part of parameters.flatMap(keyAndValue)) {
    const [badEscape] = /%(?![0-9a-fA-F]{2}).{0,2}/.exec(part) ?? []
    if (badEscape !== undefined) return `invalid URL escape ${JSON.stringify(badEscape)}`
  }
  return undefined
}

function keyAndValue(parameter: string): string[] {
  const equals = parameter.indexOf('=')
  return equals < 0 ? [parameter] : [parameter.slice(0, equals), parameter.slice(equals + 1)]
}
