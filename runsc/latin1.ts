// Text as the kernel takes it.

/** JSON and Node have text; the kernel has bytes, one per char. */
export const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1')
