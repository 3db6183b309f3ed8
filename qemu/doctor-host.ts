// What doctor.ts looks at besides QEMU and its kind: the machine that guests would run on.

import { accessSync, constants, existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { freemem, homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { isInPath } from '../src/in-path.js'
import { runtimeDirectory } from '../src/runtime-directory.js'
import { ownPublicKeys } from './board-keys.js'
import { cacheDirectory } from './cache.js'
import {
  KVM_DEVICE,
  kvmModule,
  kvmRemedy,
  moduleRemedy,
  openError,
  VSOCK_DEVICE,
  VSOCK_MODULE,
  vsockRemedy,
} from './device-access.js'
import type { Finding } from './doctor.js'
import { MEMORY_MIB } from './settings.js'

const MIB = 2 ** 20
/** QEMU's own, besides that of the guest. */
const OVERHEAD_MIB = 128
/** A kernel with its modules, unpacked, and an image. */
const CACHE_MIB = 1024
/** A machine's copy of its image, for as long as it boots. */
const MACHINE_MIB = 256

export function hostModules(): Finding {
  const wanted = [kvmModule(), VSOCK_MODULE].filter(name => name !== undefined)
  const missing = wanted.filter(name => !existsSync(`/sys/module/${name}`))
  const [first] = missing
  if (first === undefined) return { subject: 'modules', works: true, text: `${wanted.join(', ')}: loaded` }
  return {
    subject: 'modules',
    works: false,
    text: `${missing.join(', ')}: not loaded`,
    remedy: missing.map(moduleRemedy).join('; '),
  }
}

/** Whether devices that are there open. */
export function permissions(): Finding {
  const there = [KVM_DEVICE, VSOCK_DEVICE].filter(existsSync)
  const closed = there.filter(device => openError(device) === 'EACCES')
  if (closed.length === 0) {
    const text = there.length === 0 ? `neither ${KVM_DEVICE} nor ${VSOCK_DEVICE} is there` : there.join(', ')
    return { subject: 'permissions', works: true, text }
  }
  const remedies = closed.map(device => (device === KVM_DEVICE ? kvmRemedy() : vsockRemedy()) ?? '')
  return {
    subject: 'permissions',
    works: false,
    text: `${closed.join(', ')}: closed to this user`,
    remedy: [...new Set(remedies)].join('; '),
  }
}

export function memory(): Finding {
  // Not in every Node 20; it knows the limits of a container.
  const available = Math.round((process.availableMemory?.() ?? freemem()) / MIB)
  const needed = MEMORY_MIB + OVERHEAD_MIB
  const text = `${available} MiB are free, a machine takes ${needed}`
  if (available >= needed) return { subject: 'memory', works: true, text }
  return {
    subject: 'memory',
    works: false,
    text,
    remedy: 'end something, or give machines less with -memory MIB',
  }
}

export function cacheSpace(): Promise<Finding> {
  return space('cache', cacheDirectory(), CACHE_MIB, 'XDG_CACHE_HOME')
}

export function machineSpace(): Promise<Finding> {
  return space('machines', runtimeDirectory(), MACHINE_MIB, 'XDG_RUNTIME_DIR')
}

async function space(
  subject: string,
  directory: string,
  neededMiB: number,
  variable: string,
): Promise<Finding> {
  const place = existing(directory)
  const { bavail, bsize } = await statfs(place)
  const free = Math.floor((bavail * bsize) / MIB)
  const remedy = `or choose another place with ${variable}`
  const text = `${free} MiB are free in ${directory}`
  if (!isAccessible(place, constants.W_OK))
    return { subject, works: false, text: `${place} is not yours to write to`, remedy: `chown it, ${remedy}` }
  if (free < neededMiB)
    return { subject, works: false, text, remedy: `make room for ${neededMiB} MiB, ${remedy}` }
  return { subject, works: true, text }
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}

function isAccessible(path: string, mode: number): boolean {
  try {
    accessSync(path, mode)
    return true
  } catch {
    return false
  }
}

/** What takes kernels apart, and makes images smaller. */
const TOOLS: Readonly<Record<string, string>> = {
  ldd: 'libc-bin',
  strip: 'binutils',
  xz: 'xz-utils',
  zstd: 'zstd',
  lz4: 'lz4',
}

export function tools(): Finding {
  const missing = Object.keys(TOOLS).filter(name => !isInPath(name))
  if (missing.length === 0) return { subject: 'tools', works: true, text: Object.keys(TOOLS).join(', ') }
  const remedy = `apt-get install ${missing.map(name => TOOLS[name]).join(' ')}, or what has them elsewhere`
  return { subject: 'tools', works: false, text: `${missing.join(', ')}: not installed`, remedy }
}

/** Whether kernels can be fetched. */
export async function apt(): Promise<Finding> {
  const fail = (text: string, remedy: string): Finding => ({ subject: 'apt', works: false, text, remedy })
  const missing = ['apt-get', 'apt-cache', 'dpkg-deb'].filter(name => !isInPath(name))
  if (missing.length > 0)
    return fail(
      `${missing.join(', ')}: not installed`,
      'name a kernel with -kernel: none can be fetched here',
    )
  const { stdout } = await execa('apt-cache', ['policy', 'linux-image-amd64'], {
    reject: false,
    timeout: 30_000,
    env: { LC_ALL: 'C' },
  })
  const version = /^ {2}Candidate: (?!\(none\))(\S+)$/m.exec(stdout)?.[1]
  if (version === undefined) return fail('knows no linux-image-amd64', 'as root: apt-get update')
  return { subject: 'apt', works: true, text: `fetches linux-image-amd64 ${version}` }
}

export function sshKeys(): Finding {
  const keys = ownPublicKeys()
  if (keys.length > 0) return { subject: 'ssh keys', works: true, text: keys.join(', ') }
  return {
    subject: 'ssh keys',
    works: false,
    text: `none in ${join(homedir(), '.ssh')}; machines of cpu-vm have their own`,
    remedy: 'ssh-keygen -t ed25519, for cpu-vm image -o and other machines',
  }
}
