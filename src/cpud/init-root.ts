// The root file system that a launcher's guest has besides its initramfs: a directory of the host's, below a tmpfs that
// takes what is written. Everything that starts from then on is in it; the initramfs stays below, out of sight.

import { mkdirSync } from 'node:fs'
import { MS_MOVE, MS_NOATIME, MS_RDONLY } from '../linux/mount.js'
import { changeRoot, mount } from '../native/mount.js'
import type { GuestRoot } from './guest-config.js'

const PLACE = '/cpu-harness/root'
/** The machine's own, whatever the host has there. What mounts lie in them come along. */
const OWN: readonly string[] = ['/proc', '/sys', '/dev', '/run']

const OPTIONS: Readonly<Record<GuestRoot['type'], string>> = {
  virtiofs: '',
  // 512,000 is the most that virtio takes (net/9p/trans_virtio.c).
  '9p': 'trans=virtio,version=9p2000.L,access=any,noxattr,cache=mmap,msize=512000',
}

/** Makes it the root of this process and all that it starts. Throws SystemError. */
export function enterRoot({ type, tag }: GuestRoot): void {
  const [lower, memory, merged] = ['lower', 'memory', 'merged'].map(name => `${PLACE}/${name}`) as [
    string,
    string,
    string,
  ]
  for (const directory of [lower, memory, merged]) mkdirSync(directory, { recursive: true })
  mount(tag, lower, type, MS_RDONLY | MS_NOATIME, OPTIONS[type])
  mount('tmpfs', memory, 'tmpfs', 0, 'mode=0755')
  for (const name of ['upper', 'work']) mkdirSync(`${memory}/${name}`)
  const layers = `lowerdir=${lower},upperdir=${memory}/upper,workdir=${memory}/work`
  mount('root', merged, 'overlay', 0, layers)
  for (const directory of OWN) {
    mkdirSync(merged + directory, { recursive: true })
    mount(directory, merged + directory, '', MS_MOVE)
  }
  // As switch_root(8): an initramfs cannot be pivoted away.
  process.chdir(merged)
  mount('.', '/', '', MS_MOVE)
  changeRoot('.')
  process.chdir('/')
}
