/** Something that may happen next in the model. */
export type Step = {
  readonly name: string
  /** How likely it is among the others, on a random schedule. */
  readonly weight: number
  readonly run: () => void
}
