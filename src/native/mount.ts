// mount(2), umount2(2) and chroot(2) for this process itself: for PID 1 and for tests. A session's mounts
// are steps of its plan and made by spawnProgram.

import { binding, check } from './binding.js'

/**
 * Mounts `source` on `target`. `flags` are `MS_*` bits of src/linux/mount.ts; an empty `type` is for bind,
 * remount and propagation changes. Throws a SystemError, such as EBUSY when it is mounted there already.
 */
export function mount(source: string, target: string, type: string, flags = 0, data = ''): void {
  const subject = `${source} on ${target}${type === '' ? '' : ` type ${type}`}`
  check(binding.mount(source, target, type, flags, data), 'mount', subject)
}

/** Unmounts what is mounted last on `target`. `flags` are `MNT_*` bits. Throws a SystemError. */
export function unmount(target: string, flags = 0): void {
  check(binding.unmount(target, flags), 'umount', target)
}

/** Makes a directory the root of this process and of what it starts; the current directory stays. Throws a SystemError. */
export function changeRoot(path: string): void {
  check(binding.changeRoot(path), 'chroot', path)
}
