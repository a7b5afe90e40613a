// Runs one of our bundles: load.cjs PROGRAM ARGUMENT... Next to the bundle lies the bytecode that V8 made of it when it
// was built: compiling the kernel would take longer than all else that starting one takes. V8 checks that the
// bytecode is its own, and compiles when it is not.

'use strict'
const { ftruncateSync, openSync, readFileSync, writeSync } = require('node:fs')
const { Script } = require('node:vm')

const file = `${__dirname}/${process.argv[2]}.cjs`
process.argv.splice(1, 2, file)

function bytecode() {
  try {
    return readFileSync(process.env.PORTCULLIS_RECORD_CODE ? `${file}.recorded` : `${file}.code`)
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

/** When building, keep the bytecode of what a first run has compiled. See bundle.ts. */
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

if (process.env.PORTCULLIS_RECORD_CODE) record()
script.runInThisContext()(require, module, file)
