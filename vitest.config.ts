import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', 'build/**'],
    testTimeout: 120_000,
    hookTimeout: 600_000,
    // The machines have two cores and most tests start whole sandboxes.
    maxWorkers: 2,
  },
})
