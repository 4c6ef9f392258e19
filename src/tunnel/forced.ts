/** Connections that this end breaks for a rule or a limit of its own: what both programs count. Pure. */
import type { Ending } from './connection.ts'

const REASONS = ['slow-consumer', 'over-budget', 'flow-control-violation'] as const
export type ForcedReason = (typeof REASONS)[number]

/** Why this end broke it; nothing for any other end. */
export const forcedBy = (ending: Ending): ForcedReason | undefined =>
  ending.kind === 'reset' && ending.by === 'self' ? REASONS.find((reason) => reason === ending.reason) : undefined
