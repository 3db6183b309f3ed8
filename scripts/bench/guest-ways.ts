// The ways in which a guest reaches its host's files, as sessions of `cpu` with guest-agent.sh in them. Called by
// guest-host.ts.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Machine } from '../../qemu/index.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import type { Sshd } from './guest-sshd.js'
import { SHARED_SYSTEM, SYSTEM, systemFstab } from './guest-system.js'
import type { WorkSizes } from './guest-work.js'

/** `always` is -cache always, with writes gathered; `9p tcp` is `cpu -srv`, mounted by the guest's kernel without ssh. */
const OURS_TCP = ['9p ssh/tcp', '9p tcp', 'fuse ssh/tcp', 'fuse always ssh/tcp'] as const
const OURS_VSOCK = [
  '9p ssh/vsock',
  '9p direct',
  'fuse ssh/vsock',
  'fuse direct',
  'fuse always direct',
] as const
/** `tmpfs` is the guest's own memory, without any way to the host. */
const OTHERS = ['virtio-9p', 'virtiofs', 'sshfs', 'tmpfs'] as const
export type Way = (typeof OURS_TCP | typeof OURS_VSOCK | typeof OTHERS)[number]

export const WAYS_BY_TCP: readonly Way[] = [...OURS_TCP, ...OTHERS]
export const WAYS_BY_VSOCK: readonly Way[] = [...OURS_VSOCK, 'virtio-9p', 'virtiofs', 'tmpfs']
export const ALL_WAYS: readonly Way[] = [...OURS_TCP, ...OURS_VSOCK, ...OTHERS]

/** How the guest reaches its host's loopback by QEMU's user network. */
const HOST_ADDRESS = '10.0.2.2'
/** Of a way whose files a session's fstab mounts. */
const DATA = '/mnt/data'

export interface WayScene {
  readonly machine: Machine
  /** Exported by every way; a share named `work`, and by 9P of QEMU's `work9p`. */
  readonly work: string
  /** For files of ours that are not exported. */
  readonly staging: string
  readonly sizes: WorkSizes
  readonly sshd: Sshd
  /** Of `cpu -srv`, on 127.0.0.1. */
  readonly servePort: number
}

/** Arguments of `cpu` for a session in which the agent works on the files by this way. */
export function sessionArguments(scene: WayScene, way: Way): string[] {
  const { machine, work } = scene
  const ours = ['-root', work, '-namespace', 'none', '-fstab', fstabOf(scene, way)]
  const by = (protocol: '9p' | 'fuse', ...host: string[]) => [
    ...['-files', protocol, ...ours, ...host, ...agent(scene, '/tmp/cpu')],
  ]
  const by9P = (line: string) => [...others(scene, way, line), ...agent(scene, DATA)]
  switch (way) {
    case '9p ssh/tcp':
      return by('9p', ...tcpHost(scene))
    case 'fuse ssh/tcp':
      return by('fuse', ...tcpHost(scene))
    case 'fuse always ssh/tcp':
      return by('fuse', '-cache', 'always', ...tcpHost(scene))
    case '9p ssh/vsock':
      return by('9p', '-direct=false', ...vsockHost(machine))
    case 'fuse ssh/vsock':
      return by('fuse', '-direct=false', ...vsockHost(machine))
    case '9p direct':
      return by('9p', ...vsockHost(machine))
    case 'fuse direct':
      return by('fuse', ...vsockHost(machine))
    case 'fuse always direct':
      return by('fuse', '-cache', 'always', ...vsockHost(machine))
    case '9p tcp':
      return by9P(`${HOST_ADDRESS} ${DATA} 9p trans=tcp,port=${scene.servePort},msize=1048576,${CACHED} 0 0`)
    case 'virtio-9p': // as ours, but for the size: this is the most that virtio has
      return by9P(`work9p ${DATA} 9p trans=virtio,msize=512000,${CACHED} 0 0`)
    case 'virtiofs':
      return by9P(`work ${DATA} virtiofs nosuid,nodev 0 0`)
    case 'sshfs':
      return [...others(scene, way, ''), ...agent(scene, DATA, sshfsCommand(scene))]
    case 'tmpfs':
      return [...others(scene, way, 'work /mnt/share virtiofs ro 0 0'), ...agent(scene, DATA, COPY)]
  }
}

/** As our own 9P is mounted by kernels before 6.4. */
const CACHED = 'version=9p2000.L,access=any,noxattr,cache=mmap,nosuid,nodev'
const COPY = `mount -t tmpfs tmpfs ${DATA} && cp -r /mnt/share/project ${DATA}`

function agent({ sizes }: WayScene, data: string, ...mount: string[]): string[] {
  return ['/usr/bin/bash', `${SYSTEM}/agent.sh`, data, String(sizes.mebibytes), ...mount]
}

function others(scene: WayScene, way: Way, line: string): string[] {
  return ['-9p=false', '-fstab', fstabOf(scene, way, line), scene.machine.name]
}

function fstabOf({ staging }: WayScene, way: Way, line = ''): string {
  const file = path.join(staging, `fstab-${way.replaceAll(/\W/g, '-')}`)
  writeFileSync(file, `${systemFstab()}${line}\n`)
  return file
}

function tcpHost({ machine, staging }: WayScene): string[] {
  const hostKey = path.join(staging, 'host.pub')
  writeFileSync(hostKey, `${machine.hostKey}\n`)
  const login = ['-key', path.join(machine.directory, 'id_ed25519'), '-hk', hostKey, '-user', 'root']
  return ['-net', 'tcp', '-sp', String(machine.tcpPort), ...login, '127.0.0.1']
}

function vsockHost({ cid }: Machine): string[] {
  if (cid === undefined) throw new CpuError('ERR_CPU_BENCH', 'the guest has no vsock')
  return ['-net', 'vsock', String(cid)]
}

function sshfsCommand({ sshd, work }: WayScene): string {
  const options = [`IdentityFile=${SYSTEM}/id`, 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null']
  return `sshfs -p ${sshd.port} -o ${options.join(',')} root@${HOST_ADDRESS}:${work} ${DATA} 2>/tmp/sshfs`
}

export interface ServedFiles extends Disposable {
  readonly port: number
  readonly pid: number
}

/** `cpu -srv` on a free port of 127.0.0.1. Throws ERR_CPU_BENCH. */
export async function serveFiles(work: string): Promise<ServedFiles> {
  const program = path.join(packageRoot(), 'dist/bundle/cpu.cjs')
  const args = [program, '-srv', 'tcp:127.0.0.1:0', '-root', work]
  const child: ChildProcess = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const [line] = await Promise.race([
    once(createInterface({ input: child.stderr! }), 'line'),
    once(child, 'exit'),
  ])
  const port = /:(\d+)$/.exec(String(line))?.[1]
  if (port === undefined) throw new CpuError('ERR_CPU_BENCH', `cpu -srv does not start: ${line}`)
  return { port: Number(port), pid: child.pid!, [Symbol.dispose]: () => void child.kill() }
}

/** Where the small system of programs lies in `work`, and what the agent needs beside it. */
export function systemIn(work: string): string {
  return path.join(work, SHARED_SYSTEM)
}
