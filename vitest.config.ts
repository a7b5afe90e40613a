import { defineConfig } from 'vitest/config'
import { againReporter } from './test/again-reporter.ts'

export default defineConfig({
  test: {
    include: ['**/*.test.ts'],
    exclude: ['**/node_modules/**', 'build/**'],
    testTimeout: 300_000,
    hookTimeout: 600_000,
    // The machines have two cores and most tests start whole sandboxes.
    maxWorkers: 2,
    // On a machine that is busy otherwise, one of hundreds of sandboxes may be slow beyond reason. A test that
    // needs its second try is named at the end, with what failed: it is a defect to be mended, of the test or of ours.
    retry: 1,
    reporters: ['default', againReporter],
  },
})
