// A clock for what a shared file system has told: everything that the kernel does between two waits for events happens at
// one moment. What was learnt at this moment need not be asked again; at the next one others may have changed it.

let moment = 1

export function currentMoment(): number {
  return moment
}

/** The kernel is about to answer an event. What happened before the event must be seen by its answer. */
export function nextMoment(): void {
  moment++
}
