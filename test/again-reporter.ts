// Names the tests that passed only when they were tried again, and why they failed first.

import type { Reporter, TestModule } from 'vitest/node'

export const againReporter: Reporter = {
  onTestRunEnd(modules: readonly TestModule[]) {
    const lines: string[] = []
    for (const module of modules)
      for (const test of module.children.allTests())
        if (test.diagnostic()?.flaky)
          lines.push(
            `  ${module.relativeModuleId} > ${test.fullName}`,
            ...(test.result().errors ?? []).map(({ message }) => `    ${message}`),
          )
    if (lines.length > 0)
      process.stdout.write(`\nFailed at first, passed when tried again:\n${lines.join('\n')}\n`)
  },
}
