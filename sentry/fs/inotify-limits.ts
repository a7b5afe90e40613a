// What a user may have of inotify(7).

/** Limits per user, and what of them is in use: /proc/sys/fs/inotify. */
export class InotifyLimits {
  queuedEvents = 16384
  instances = 128
  watches = 65536
  readonly users = new Map<number, InotifyUse>()

  use(uid: number): InotifyUse {
    let use = this.users.get(uid)
    if (use === undefined) {
      use = { instances: 0, watches: 0 }
      this.users.set(uid, use)
    }
    return use
  }
}

export interface InotifyUse {
  instances: number
  watches: number
}
