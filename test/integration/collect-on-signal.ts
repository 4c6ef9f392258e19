/** Loaded into a program that a test looks at for leaks: on SIGUSR2 it collects garbage and says what is left. */
process.on('SIGUSR2', () => {
  globalThis.gc?.()
  globalThis.gc?.() // the first one finds what only finalisers held
  const { heapUsed, external } = process.memoryUsage()
  process.stdout.write(`live bytes ${heapUsed + external}\n`)
})
