// How much asynchronous I/O there may be: fs/aio.c.

/** Far more than any program has. */
export const AIO_CONTEXTS_MAX = 1024

export class AioLimits {
  /** Events that all contexts together are made for: /proc/sys/fs/aio-nr. */
  used = 0
  most = 65536
  /** Contexts there are. Each costs the kernel a descriptor of the host's, so there is an end to them. */
  contexts = 0
}
