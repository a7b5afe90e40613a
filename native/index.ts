// The typed face of everything native. The rest of the code imports from here only, and runsc from host.ts.

export * from './host.ts'
export * from './ptrace.ts'
export * from './stub-platform.ts'
export * from './systrap.ts'
