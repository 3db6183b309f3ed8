// One guest in which a directory of this host is seen in several ways, for test/e2e/conformance.test.ts: through its
// own session's 9P or FUSE, by QEMU's virtio-9p, and by virtiofs. Programs come by a read-only share of this host's root, so
// that only what is tested goes the way that is tested.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { type FstabFields, formatFstab } from '../../src/fstab/format.js'
import { packageRoot } from '../../src/version.js'
import { CPU, cpu, type Result } from '../fixtures/cpu-command.js'
import { type Guest, startGuest } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

/** The ways to a file, in the order of the table's columns. `host` is without a guest: what the checks themselves are worth. */
export const WAYS = ['host', '9p', '9p-direct', 'fuse', 'fuse-direct', 'virtio-9p', 'virtiofs'] as const
export type Way = (typeof WAYS)[number]
/** Ours: through ssh, and over a vsock of its own. */
export const OWN_WAYS = ['9p', '9p-direct', 'fuse', 'fuse-direct'] as const
export type OwnWay = (typeof OWN_WAYS)[number]

export function isOwn(way: Way): way is OwnWay {
  return (OWN_WAYS as readonly Way[]).includes(way)
}

export function isDirect(way: Way): boolean {
  return way.endsWith('-direct')
}

/** What `cpu` is told for its files to go this way. */
export function flagsOf(way: OwnWay): string[] {
  return ['-files', way.startsWith('9p') ? '9p' : 'fuse']
}

const sources = path.join(packageRoot(), 'test/conformance')
export const SUITE = path.join(sources, 'suite.py')
export const PREPARE = path.join(sources, 'prepare.py')
/** Not whatever Python is first in the user's PATH: in a guest only the system's own is there. */
export const PYTHON = '/usr/bin/python3'

const TOOLS = '/tmp/merge'
const TIME_LIMIT_MS = 550_000
/** In the guest: a tmpfs for the direct way, whose client and server are both there. */
export const DIRECT_EXPORT = '/srv'

export interface ConformanceGuest extends Guest {
  /** Prepared by prepare.py, on a file system of this host. */
  readonly directory: string
}

/** Makes the directory, fills it, and boots the guest. All of it ends with the test. */
export async function startConformanceGuest(t: Test): Promise<ConformanceGuest> {
  const directory = fs.mkdtempSync('/tmp/conformance-')
  t.teardown(() => fs.rmSync(directory, { recursive: true, force: true }))
  const stop = await prepare(directory)
  t.teardown(stop)
  const guest = await startGuest(t, {
    name: 'conformance',
    memoryMiB: 1536,
    shares: [
      { tag: 'tools', hostPath: '/', readOnly: true },
      { tag: 'virtiofs', hostPath: directory },
    ],
    devices: [virtio9P(directory)],
  })
  fs.writeFileSync(path.join(guest.machine.directory, 'fstab-tools'), formatFstab(tools()))
  return { ...guest, directory }
}

/** With the same rights as our server: those of root, for files of any owner. */
function virtio9P(hostPath: string) {
  const share = `local,id=virtio9p,path=${hostPath},mount_tag=virtio9p,security_model=passthrough,multidevs=remap`
  return { qemu: ['-virtfs', share], modules: ['9p', '9pnet_virtio'] }
}

/** Runs prepare.py until the function that it resolves to is called. */
async function prepare(directory: string): Promise<() => Promise<void>> {
  const child = spawn(PYTHON, [PREPARE, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
  const stop = () => ended(child)
  const lines = createInterface({ input: child.stdout })
  const [line] = await Promise.race([once(lines, 'line'), once(child, 'exit')])
  if (line === 'ready') return stop
  await stop()
  throw new Error(`prepare.py ended with ${line}`)
}

async function ended(child: ChildProcess): Promise<void> {
  child.stdin?.end()
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** The programs of this host, in their places, by the share of its root. */
function tools(): FstabFields[] {
  const places = ['/usr', '/bin', '/sbin', '/lib', '/lib64', '/etc', packageRoot(), nodePrefix()]
  return [
    { source: 'tools', target: TOOLS, type: 'virtiofs', options: 'ro' },
    ...[...new Set(places)].map(place => ({
      source: TOOLS + place,
      target: place,
      type: 'none',
      options: 'bind',
    })),
  ]
}

function nodePrefix(): string {
  return path.resolve(path.dirname(fs.realpathSync(process.execPath)), '..')
}

/** Where the directory is in a session of `inGuest`: the session's own files, and the mounts beside them. */
export function mountPoints(directory: string): Record<'own' | 'virtio-9p' | 'virtiofs', string> {
  return { own: `/tmp/cpu${directory}`, 'virtio-9p': '/mnt/virtio9p', virtiofs: '/mnt/virtiofs' }
}

export interface SessionOptions {
  readonly flags?: readonly string[]
  readonly fstab?: readonly FstabFields[]
  readonly cwd?: string
}

/** A command in the guest, with this host's programs and the mounts of the directory. */
export async function inGuest(
  t: Pick<Test, 'teardown'>,
  guest: ConformanceGuest,
  command: readonly string[],
  options: SessionOptions = {},
): Promise<Result> {
  const { flags = [], fstab = [], cwd = guest.directory } = options
  const virtio = 'trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any'
  const mounts = [
    ...tools(),
    { source: 'virtio9p', target: '/mnt/virtio9p', type: '9p', options: virtio },
    { source: 'virtiofs', target: '/mnt/virtiofs', type: 'virtiofs' },
    ...fstab,
  ]
  const file = path.join(temporaryDirectory(t), 'fstab')
  fs.writeFileSync(file, formatFstab(mounts))
  const all = ['-namespace', 'none', '-fstab', file, ...flags]
  return cpu(guest, command, { cwd, flags: all, timeoutMs: TIME_LIMIT_MS })
}

export interface DirectWork {
  /** Run on the side that serves, in the directory, before and after. */
  readonly before: string
  readonly after?: string
  /** Run with the directory as the session has it, in $PWD; all are for a shell. */
  readonly command: string
}

/**
 * Work on a tmpfs of the guest, straight over the guest's vsock loopback: a client in the guest, connected to the
 * guest's own cpud. There is no other vsock to be had without vhost-vsock.
 */
export async function directly(
  t: Pick<Test, 'teardown'>,
  guest: ConformanceGuest,
  { before, command, after = 'true' }: DirectWork,
  flags: readonly string[] = [],
): Promise<Result> {
  const { machine } = guest
  const hostKey = path.join(machine.directory, 'host.pub')
  fs.writeFileSync(hostKey, `${machine.hostKey}\n`)
  const keys = TOOLS + machine.directory
  const client = [process.execPath, CPU, '-v', '-net', 'vsock', '-key', `${keys}/id_ed25519`]
  const session = [
    '-hk',
    `${keys}/host.pub`,
    '-namespace',
    'none',
    '-fstab',
    `${keys}/fstab-tools`,
    ...flags,
    '1',
  ]
  const words = [...client, ...session, 'sh', '-c', command].map(quoted).join(' ')
  const script = `cd ${DIRECT_EXPORT} && { ${before} ; } && ${words} </dev/null && { ${after} ; }`
  return inGuest(t, guest, ['bash', '-c', script], {
    flags: ['-9p=false'],
    cwd: '/',
    fstab: [{ source: 'tmpfs', target: DIRECT_EXPORT, type: 'tmpfs' }],
  })
}

/** Keeps prepare.py running while that which follows does. */
export const PREPARED = `coproc held { ${PYTHON} ${PREPARE} . ; } && read -r line <&"\${held[0]}" && test "$line" = ready`

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
