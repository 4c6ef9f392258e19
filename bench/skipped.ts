/** A question that this machine, or this version of a peer, cannot be asked. Not a failure; the report says why. */
export class Skipped extends Error {
  override readonly name = 'Skipped'
}
