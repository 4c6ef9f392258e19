/** How an agent may be chosen for a dial. Names and meanings are konnectivity's. */

export const strategies = [
  'default', // any agent
  'destHost', // one that named the dialled host among its identifiers
  'defaultRoute', // one that says it reaches everything
] as const
export type Strategy = (typeof strategies)[number]

export const isStrategy = (name: string): name is Strategy => (strategies as readonly string[]).includes(name)
