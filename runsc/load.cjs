// Runs one of our bundles: load.cjs PROGRAM ARGUMENT... Next to the bundle lies the bytecode that V8 made of it when it
// was built: compiling the kernel would take longer than all else that starting one takes. V8 checks that the
// bytecode is its own, and compiles when it is not.
//
// "runsc-forked" is a runsc that may make a sandbox: it is forked into the sandbox's processes first, while it is nothing but
// Node.js. native/launcher/front.c has prepared it for that.

'use strict'
const { ftruncateSync, openSync, readFileSync, writeSync } = require('node:fs')
const { Script } = require('node:vm')

/** What forkRoles returns. */
const ROLES = ['runsc', 'sentry', 'gofer']

/** When building, the bytecode is kept of what a first run has compiled. See bundle.ts. */
const recording = process.env.PORTCULLIS_RECORD_CODE !== undefined
const [, , name] = process.argv
const program = name === 'runsc-forked' ? forkRoles() : name
const file = `${__dirname}/${program}.cjs`
process.argv.splice(1, 2, file)

function forkRoles() {
  if (process.getuid() !== 0) return 'runsc'
  const role = require('./portcullis.node').forkRoles()
  if (role < 0) {
    process.stderr.write(`runsc: cannot fork the processes of a sandbox: error ${-role}\n`)
    process.exit(128)
  }
  if (role > 0) process.argv = [...process.argv.slice(0, 3), 'forked']
  return ROLES[role]
}

function bytecode() {
  try {
    return readFileSync(recording ? `${file}.recorded` : `${file}.code`)
  } catch {
    return undefined
  }
}

/** A function of its own: what it leaves behind is garbage while the program runs. */
function compile() {
  const source = readFileSync(file, 'latin1')
  const cachedData = bytecode()
  return new Script(source, { filename: file, ...(cachedData && { cachedData }) })
}

const script = compile()

function record() {
  const fd = openSync(`${file}.recorded`, 'r+')
  // What is killed before it gets here leaves the earlier recording.
  const save = () => {
    const data = script.createCachedData()
    ftruncateSync(fd, 0)
    writeSync(fd, data, 0, data.length, 0)
  }
  // Confined processes end without Node's knowledge.
  const addon = require('./portcullis.node')
  const { exitNow } = addon
  addon.exitNow = status => {
    save()
    exitNow(status)
  }
  process.on('exit', save)
}

if (recording) record()
script.runInThisContext()(require, module, file)
