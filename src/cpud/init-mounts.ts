// The file systems that PID 1 mounts before anything else, as an initramfs has none of them. With the flags that
// systemd gives them (its mount-setup.c).

import { chmodSync, mkdirSync, statSync, symlinkSync } from 'node:fs'
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_STRICTATIME } from '../linux/mount.js'
import { mount } from '../native/mount.js'

export interface SystemMount {
  readonly type: string
  readonly target: string
  readonly flags: number
  readonly data: string
  /** Not every kernel has it. */
  readonly optional?: boolean
}

const closed = MS_NOSUID | MS_NODEV | MS_NOEXEC

/** In order: parents before what is mounted in them. */
export const systemMounts: readonly SystemMount[] = [
  { type: 'proc', target: '/proc', flags: closed, data: '' },
  { type: 'sysfs', target: '/sys', flags: closed, data: '' },
  { type: 'devtmpfs', target: '/dev', flags: MS_NOSUID | MS_STRICTATIME, data: 'mode=0755' },
  {
    type: 'devpts',
    target: '/dev/pts',
    flags: MS_NOSUID | MS_NOEXEC,
    data: 'gid=5,mode=0620,ptmxmode=0666',
  },
  { type: 'tmpfs', target: '/dev/shm', flags: MS_NOSUID | MS_NODEV, data: 'mode=1777' },
  { type: 'tmpfs', target: '/run', flags: MS_NOSUID | MS_NODEV, data: 'mode=0755' },
  { type: 'tmpfs', target: '/tmp', flags: MS_NOSUID | MS_NODEV, data: 'mode=1777' },
  { type: 'cgroup2', target: '/sys/fs/cgroup', flags: closed, data: '', optional: true },
  { type: 'debugfs', target: '/sys/kernel/debug', flags: closed, data: '', optional: true },
  { type: 'tracefs', target: '/sys/kernel/tracing', flags: closed, data: '', optional: true },
  { type: 'securityfs', target: '/sys/kernel/security', flags: closed, data: '', optional: true },
  { type: 'bpf', target: '/sys/fs/bpf', flags: closed, data: 'mode=0700', optional: true },
]

const links: readonly (readonly [target: string, path: string])[] = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
]

/** The errno name of a failed call. */
function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** Runs `act`; a failure by one of `expected` codes is none. Returns the message of any other. */
function attempt(act: () => void, expected: readonly string[]): string[] {
  try {
    act()
    return []
  } catch (error) {
    return expected.includes(codeOf(error)) ? [] : [error instanceof Error ? error.message : String(error)]
  }
}

function mountOne({ type, target, flags, data, optional }: SystemMount, root: string): string[] {
  const at = root + target
  // EBUSY: mounted there already, by the kernel or by whoever started us.
  const expected = optional ? ['EBUSY', 'ENODEV', 'ENOENT', 'EPERM'] : ['EBUSY']
  return attempt(() => {
    mkdirSync(at, { recursive: true })
    // These would be new ones each time, and hide what is there.
    if (['tmpfs', 'devpts'].includes(type) && isMountPoint(at)) return
    mount(type, at, type, flags, data)
  }, expected)
}

/** In memory, the root may be open to everybody's writing, or closed to all but root, as the archive has it. */
function openToReaders(root: string): void {
  if ((statSync(root).mode & 0o777) !== 0o755) chmodSync(root, 0o755)
}

function isMountPoint(path: string): boolean {
  return statSync(path).dev !== statSync(`${path}/..`).dev
}

/**
 * Closes the root to users' writing, mounts everything in the table that is not mounted yet, and makes the links in /dev. Returns
 * a message for each failure; those of file systems that the kernel does not have to have are left out. `root` is put
 * before every target.
 */
export function mountSystem(root = ''): string[] {
  return [
    ...attempt(() => openToReaders(root || '/'), []),
    ...systemMounts.flatMap(entry => mountOne(entry, root)),
    ...links.flatMap(([target, path]) => attempt(() => symlinkSync(target, root + path), ['EEXIST'])),
  ]
}
