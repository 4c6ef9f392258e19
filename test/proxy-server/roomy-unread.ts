/** Room for all that clients send and nobody reads, for tests of something else. */
import { createUnreadBytes, type UnreadBytes } from '../../src/proxy-server/core/unread.ts'
import { createBudget } from '../../src/tunnel/budget.ts'

export const roomyUnread = (): UnreadBytes =>
  createUnreadBytes(createBudget(Number.POSITIVE_INFINITY), () => ({ [Symbol.dispose]() {} }))
