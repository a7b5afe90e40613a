import { expect, test } from 'vitest'
import { compile } from './compile.ts'
import { constantAnswer } from './constant.ts'
import { containerProfile } from './fixtures/container-profile.ts'
import { Filter } from './interpret.ts'
import { ociPolicy } from './oci.ts'
import { ALLOW, AUDIT_ARCH_X86_64, errno, seccompData } from './seccomp.ts'
import { Random } from './test/random.ts'

const NUMBERS = new Map(
  Object.entries({ read: 0, close: 3, socket: 41, clone: 56, mount: 165, personality: 135 }),
)

test('tells the answers that arguments have no part in, and no other', () => {
  const program = compile(ociPolicy(containerProfile, NUMBERS))
  const answer = (nr: number) => constantAnswer(program, nr, AUDIT_ARCH_X86_64)
  expect(answer(0)).toBe(ALLOW)
  expect(answer(165)).toBe(errno(1))
  expect(answer(41)).toBe(null)
  expect(answer(56)).toBe(null)
  expect(answer(135)).toBe(null)
})

test('agrees with the interpreter', () => {
  const program = compile(ociPolicy(containerProfile, NUMBERS))
  const filter = new Filter(program)
  const random = new Random(7)
  for (let nr = 0; nr < 600; nr++) {
    const answer = constantAnswer(program, nr, AUDIT_ARCH_X86_64)
    for (let i = 0; answer !== null && i < 5; i++) {
      const args = Array.from({ length: 6 }, () => random.below(2 ** 31))
      expect(filter.run(seccompData(nr, args))).toBe(answer)
    }
  }
})
