import { describe, expect, it } from 'vitest'
import { editMember, removeMember } from './json-edit.ts'

const PATH = ['runtimes', 'mine']
const ENTRY = { path: '/opt/runsc', runtimeArgs: ['--strace'] }

describe('a member', () => {
  it.each([
    ['{}', '{\n    "runtimes": {\n        "mine": 1\n    }\n}'],
    ['{\n}\n', '{\n    "runtimes": {\n        "mine": 1\n    }\n}\n'],
    [
      '{\n\t"a": [1,  2],\n\t"b": "}"\n}',
      '{\n\t"a": [1,  2],\n\t"b": "}",\n\t"runtimes": {\n\t\t"mine": 1\n\t}\n}',
    ],
    [
      '{\n  "runtimes": {"other":{}} , "z" : null}',
      '{\n  "runtimes": {"other":{},\n    "mine": 1} , "z" : null}',
    ],
    ['{"runtimes":{"mine":{"path":"old"},"x":1}}', '{"runtimes":{"mine":1,"x":1}}'],
  ])('is put into %j', (before, after) => {
    expect(editMember(before, PATH, 1)).toBe(after)
  })

  it('that is there already changes nothing', () => {
    const text = editMember('{ "x" : 1 }', PATH, ENTRY)
    expect(editMember(text, PATH, ENTRY)).toBe(text)
  })

  it.each([
    '{}',
    '{ "x" : 1 }',
    '{\n  "x": {\n    "runtimes": {}\n  },\n  "runtimes": {\n    "o\\"}": {}\n  }\n}\n',
  ])('is taken out of what it was put into: %j', before => {
    const text = removeMember(editMember(before, PATH, ENTRY), PATH)
    const { runtimes, ...rest } = JSON.parse(text)
    expect(rest).toEqual(
      JSON.parse(before).runtimes ? { x: JSON.parse(before).x } : JSON.parse(before),
    )
    expect(runtimes).toEqual(JSON.parse(before).runtimes ?? {})
  })

  it('at any place of an object is taken out with its comma', () => {
    const text = '{"runtimes": {"a": 1, "b": {"x": [",", "}"]} , "c": 3}}'
    expect(removeMember(text, ['runtimes', 'a'])).toBe(
      '{"runtimes": {"b": {"x": [",", "}"]} , "c": 3}}',
    )
    expect(removeMember(text, ['runtimes', 'b'])).toBe('{"runtimes": {"a": 1, "c": 3}}')
    expect(removeMember(text, ['runtimes', 'c'])).toBe(
      '{"runtimes": {"a": 1, "b": {"x": [",", "}"]}}}',
    )
    expect(removeMember(text, ['runtimes', 'd'])).toBe(text)
    expect(removeMember(text, ['none', 'd'])).toBe(text)
  })
})

it.each([
  '',
  '[]',
  '7',
  '{',
  '{"runtimes": 1}',
  '{"runtimes": {"mine": 1, "mine": 2}}',
])('what cannot be edited is refused: %j', text => {
  expect(() => editMember(text, PATH, 1)).toThrow()
})
