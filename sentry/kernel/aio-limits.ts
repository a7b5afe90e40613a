// How much asynchronous I/O there may be: fs/aio.c.

/** The kernel's count of events that all contexts are made for: /proc/sys/fs/aio-nr. */
export class AioLimits {
  used = 0
  most = 65536
}
