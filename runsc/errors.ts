// Errors that people see: one line, exit status 128.

/** Exit status of runsc's own failures, as gVisor's. */
export const EXIT_FAILURE = 128

/** A failure with a message that is complete by itself: what failed, on what, why, what to do. */
export class CliError extends Error {
  readonly exitStatus: number
  constructor(message: string, options: { cause?: unknown; exitStatus?: number | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitStatus = options.exitStatus ?? EXIT_FAILURE
  }
}
