// Why a sandbox does not start.

const EXIT_FAILURE = 128

/** A failure before the program runs: one line for people, and runsc's exit status. */
export class BootError extends Error {
  readonly exitStatus: number
  constructor(message: string, exitStatus: number = EXIT_FAILURE) {
    super(message)
    this.exitStatus = exitStatus
  }
}
