// When V8 compiles the kernel's code.

import { setFlagsFromString } from 'node:v8'

/**
 * A program makes the same call many times in a row, or only a few times. Maglev takes less than a millisecond for a handler
 * and makes it several times faster: half as many calls as V8 would wait for are enough. TurboFan takes some
 * milliseconds on a CPU that the program or the kernel needs, and wins a tenth of a call's time.
 * Bytecode is stored for V8's own flags: these may only be set when all code is loaded.
 */
const FLAGS = [
  '--invocation-count-for-maglev=200',
  '--minimum-invocations-after-ic-update=100',
  '--invocation-count-for-turbofan=50000',
]

/** Let V8 compile the code of this process as suits a kernel. */
export function tuneCompiler(): void {
  for (const flag of FLAGS) setFlagsFromString(flag)
}
