// An image without a registry: busybox, as an archive that engines can load.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A root with busybox and a link for each of its programs. */
export function busyboxTree(tree: string): void {
  for (const folder of ['bin', 'etc', 'tmp', 'proc', 'sys', 'dev', 'root'])
    mkdirSync(join(tree, folder), { recursive: true })
  cpSync('/bin/busybox', join(tree, 'bin/busybox'), { dereference: true })
  for (const name of execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).split('\n'))
    if (name !== '' && name !== 'busybox') symlinkSync('busybox', join(tree, 'bin', name))
}

/** `docker save` of an image that has the tree for its one layer. Works below `folder`; the archive's path. */
export function imageArchive(folder: string, name: string, tree: string, cmd: string[]): string {
  const parts = join(folder, 'image')
  mkdirSync(parts, { recursive: true })
  execFileSync('tar', ['cf', join(parts, 'layer.tar'), '-C', tree, '.'])
  const layer = createHash('sha256')
    .update(readFileSync(join(parts, 'layer.tar')))
    .digest('hex')
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: cmd, Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
  })
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`
  writeFileSync(join(parts, configName), config)
  const manifest = [{ Config: configName, RepoTags: [name], Layers: ['layer.tar'] }]
  writeFileSync(join(parts, 'manifest.json'), JSON.stringify(manifest))
  const archive = join(folder, 'image.tar')
  const names = ['manifest.json', configName, 'layer.tar']
  execFileSync('tar', ['cf', archive, '-C', parts, ...names])
  return archive
}
