// The flags of each cpu-vm command, and what they make of a machine.

import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { defineFlags, type FlagValues } from '../src/cli/flags.js'
import { UsageError } from '../src/errors.js'
import { FSTAB_VARIABLE } from '../src/ssh/exec-request.js'
import { ARCHITECTURES } from './architecture.js'
import { parseDisk } from './disk.js'
import { locateRoot, parseRoot } from './guest-root.js'
import type { MachineOptions, ShareOptions } from './settings.js'
import { NETS } from './transports.js'
import { SHARE_CACHES } from './virtiofsd.js'

const COMMON = defineFlags({
  v: { kind: 'boolean', commandLineOnly: true, help: 'say what is chosen, and the time of every stage' },
  help: { kind: 'boolean', commandLineOnly: true, help: 'show this' },
  h: { kind: 'boolean', hidden: true, help: 'show this' },
})

const KERNEL = defineFlags({
  arch: {
    kind: 'string',
    choices: ARCHITECTURES,
    help: "the guest's processor (default: that of the kernel that is named, else this machine's)",
  },
  kernel: {
    kind: 'string',
    placeholder: 'FILE',
    located: locateKernel,
    help: 'bzImage, arm64 Image or vmlinux to boot, the directory where one was built, or a release that cpu-vm kernel shows (default: the newest Debian kernel in the cache)',
  },
  modules: {
    kind: 'string',
    placeholder: 'DIR',
    located: inDirectory,
    help: "the kernel's lib/modules/RELEASE (default: looked for around the kernel)",
  },
  module: {
    kind: 'list',
    placeholder: 'MODULE',
    help: 'one more kernel module for the guest, such as ext4, with what it depends on',
  },
})

const JSON_FLAG = defineFlags({ json: { kind: 'boolean', help: 'as JSON' } })

const MACHINE = defineFlags({
  name: {
    kind: 'string',
    placeholder: 'NAME',
    commandLineOnly: true,
    help: 'name of the machine (default: one that is free)',
  },
  ...KERNEL,
  machine: {
    kind: 'string',
    choices: ['q35', 'microvm', 'virt'],
    help: "QEMU's board (default: q35, and virt for aarch64); microvm has fewer devices, and needs KVM",
  },
  append: { kind: 'string', placeholder: 'TEXT', help: "more of the kernel's command line" },
  memory: { kind: 'integer', placeholder: 'MIB', min: 384, help: 'memory (default 1024, nested 2048)' },
  cpus: { kind: 'integer', placeholder: 'N', min: 1, max: 255, help: 'processors (default 2, emulated 1)' },
  share: {
    kind: 'list',
    placeholder: 'TAG=DIR[:ro][,cache=MODE]',
    located: locateShare,
    help: 'directory to share by virtiofs, read-only with :ro; the guest keeps what it has seen of it never, for a second (auto), or always',
  },
  disk: {
    kind: 'list',
    placeholder: 'FILE[:ro][,snapshot]',
    located: inDirectory,
    help: 'file or block device that is /dev/vda there, the next one vdb, and so on; with ,snapshot, what is written goes with the machine; ,format=raw or qcow2, by default as the name says',
  },
  root: {
    kind: 'string',
    placeholder: 'TYPE[=DIR]',
    default: 'none',
    located: locateRoot,
    help: "the guest's root file system: virtiofs or 9p for this machine's own, or that in DIR, where nothing of it is changed; none for cpud alone",
  },
  net: {
    kind: 'string',
    choices: NETS,
    default: 'auto',
    help: 'how the machine is reached: auto takes the first that works of vsock, vhost-user (vhost-device-vsock), tcp and serial (virtio-serial ports); both is auto and tcp; with none, by its console only',
  },
  accel: {
    kind: 'string',
    choices: ['auto', 'kvm', 'tcg'],
    default: 'auto',
    help: 'auto takes KVM where it works, else emulates the processor (tcg)',
  },
  nested: { kind: 'boolean', help: 'KVM and vhost-vsock in the guest, for guests of its own' },
  'boot-timeout': {
    kind: 'duration',
    min: 1,
    placeholder: 'TIME',
    help: 'limit of the boot (default 1m0s, emulated 2m0s)',
  },
  gdb: {
    kind: 'boolean',
    help: "a debugger's way into the guest, a socket in the machine's directory; the kernel is where its symbols say (nokaslr)",
  },
  debug: { kind: 'boolean', help: "QEMU's monitor: cpu-vm console -monitor NAME" },
  'qemu-arg': { kind: 'list', placeholder: 'ARGUMENT', help: 'one more argument of QEMU' },
  keep: {
    kind: 'boolean',
    commandLineOnly: true,
    help: 'leave the machine as it is in the end, whatever happens, until cpu-vm stop',
  },
  'dry-run': {
    kind: 'boolean',
    commandLineOnly: true,
    help: 'show the command lines, and start nothing',
  },
})

const SESSION = defineFlags({
  namespace: {
    kind: 'string',
    placeholder: 'LIST',
    help: 'what of yours is bound over the guest, as in cpu(1)',
  },
  fstab: {
    kind: 'string',
    placeholder: 'FILE',
    located: inDirectory,
    variable: FSTAB_VARIABLE,
    help: 'fstab(5) lines to mount there, instead of those in $CPU_FSTAB',
  },
  timeout: { kind: 'duration', min: 1, placeholder: 'TIME', help: 'limit of the command (default none)' },
})

/** What a command is run with, and judged by. */
export const COMMAND_FLAGS = defineFlags({
  ...SESSION,
  'fail-on-oops': {
    kind: 'boolean',
    default: true,
    help: "with =false, an oops or BUG of the guest's kernel does not fail a command that succeeds",
  },
  'fail-on-warning': { kind: 'boolean', help: "a warning of the guest's kernel fails it, too" },
})

export const START_FLAGS = defineFlags({ ...MACHINE, ...COMMON })

export const RUN_FLAGS = defineFlags({
  ...MACHINE,
  ...COMMAND_FLAGS,
  snapshot: {
    kind: 'string',
    choices: ['auto', 'never'],
    default: 'auto',
    help: 'auto keeps the machine as it is when it has booted, and starts the next of its kind as a copy of that; never boots',
  },
  result: {
    kind: 'string',
    placeholder: 'FILE',
    commandLineOnly: true,
    help: 'write there, as JSON, how the run ended, what the kernel logged meanwhile, and how to repeat it',
  },
  ...COMMON,
})

export const TEST_FLAGS = defineFlags({
  only: {
    kind: 'list',
    placeholder: 'PATTERN',
    help: 'these tests alone: KERNEL/CONFIGURATION/TEST, or any one of the three, with * and ?',
  },
  'fail-fast': { kind: 'boolean', help: 'end all when the first test has failed' },
  timeout: {
    kind: 'duration',
    min: 1,
    placeholder: 'TIME',
    help: 'limit of the whole matrix (default: what the file says, else none)',
  },
  jobs: {
    kind: 'integer',
    min: 1,
    placeholder: 'N',
    help: 'machines at a time (default: as many as the processors bear)',
  },
  'memory-budget': {
    kind: 'integer',
    min: 1,
    placeholder: 'MIB',
    help: 'memory for all machines at a time (default: what is free, but for a reserve)',
  },
  junit: { kind: 'string', placeholder: 'FILE', help: "write the results there, as JUnit's XML" },
  json: { kind: 'string', placeholder: 'FILE', help: 'write them there, as JSON' },
  output: {
    kind: 'string',
    placeholder: 'DIR',
    help: "keep there each machine's console, and what each test says",
  },
  list: { kind: 'boolean', help: 'show the tests, and run none' },
  'dry-run': { kind: 'boolean', help: 'show the command lines, and start nothing' },
  ...COMMON,
})

export const CONFIG_FLAGS = defineFlags({ ...JSON_FLAG, ...COMMON })

export const EXEC_FLAGS = defineFlags({ ...SESSION, ...COMMON })

export const PLAIN_FLAGS = COMMON

export const LIST_FLAGS = defineFlags({ ...JSON_FLAG, ...COMMON })

export const DOCTOR_FLAGS = LIST_FLAGS

export const CONSOLE_FLAGS = defineFlags({
  monitor: { kind: 'boolean', help: "QEMU's monitor instead, of a machine that was started with -debug" },
  ...COMMON,
})

export const LOG_FLAGS = defineFlags({
  f: { kind: 'boolean', help: 'go on until the machine ends' },
  ...COMMON,
})

export const WAIT_FLAGS = defineFlags({
  ended: { kind: 'boolean', help: 'until it has ended, rather than until it is ready' },
  timeout: { kind: 'duration', min: 1, placeholder: 'TIME', help: 'for no longer (default: no limit)' },
  ...COMMON,
})

export const KERNEL_FLAGS = defineFlags({
  fetch: {
    kind: 'string',
    placeholder: 'PACKAGE',
    help: 'download a Debian kernel into the cache, unless it is there: the newest amd64, cloud-amd64, arm64, backports/amd64, backports/cloud-amd64 or backports/arm64, or a package, linux-image-RELEASE or linux-image-RELEASE=VERSION',
  },
  ...JSON_FLAG,
  ...COMMON,
})

export const IMAGE_FLAGS = defineFlags({
  ...KERNEL,
  list: { kind: 'boolean', help: 'show the files in it' },
  o: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'write an initramfs there that needs no launcher: docs/pid1.md',
  },
  keys: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'with -o: who may log in, as in sshd(8) (default: your public keys in ~/.ssh)',
  },
  hk: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'with -o: the private host key, which is made if it is missing (default: a new one)',
  },
  hostname: { kind: 'string', placeholder: 'NAME', help: "with -o: the machine's name" },
  ...JSON_FLAG,
  ...COMMON,
})

/** What the flags of `start` and `run` ask for. Throws UsageError. */
export function machineOptions(values: FlagValues<typeof MACHINE>): MachineOptions {
  return {
    name: values.name,
    kernel: values.kernel,
    arch: values.arch,
    machine: values.machine,
    modules: values.modules,
    extraModules: values.module,
    append: values.append,
    memoryMiB: values.memory,
    cpus: values.cpus,
    shares: values.share.map(parseShare),
    net: values.net,
    accel: values.accel,
    disks: values.disk.map(parseDisk),
    root: parseRoot(values.root),
    nested: values.nested,
    gdb: values.gdb,
    debug: values.debug,
    qemuArgs: values['qemu-arg'],
    keep: values.keep,
    timeoutMs: values['boot-timeout'],
  }
}

/** Of a path at the beginning of a value. */
function inDirectory(text: string, directory: string): string {
  return resolve(directory, text)
}

/** What is not there may be a release. */
function locateKernel(text: string, directory: string): string {
  const path = resolve(directory, text)
  return text.includes('/') || existsSync(path) ? path : text
}

function locateShare(text: string, directory: string): string {
  const parts = /^([^=]+=)(.+?)((?::r[ow])?(?:,cache=\w+)?)$/s.exec(text)
  return parts === null ? text : `${parts[1]}${resolve(directory, parts[2]!)}${parts[3]}`
}

/** `TAG=DIR`, `TAG=DIR:ro`, and either with `,cache=MODE`. Throws UsageError. */
export function parseShare(text: string): ShareOptions {
  const match = /^([^=]+)=(.+?)(:ro|:rw)?(?:,cache=(\w+))?$/s.exec(text)
  if (match === null)
    throw new UsageError(`invalid share ${JSON.stringify(text)}`, 'write -share TAG=DIR or TAG=DIR:ro')
  const [, tag = '', hostPath = '', access, mode = 'auto'] = match
  const cache = SHARE_CACHES.find(known => known === mode)
  if (cache === undefined)
    throw new UsageError(`unknown cache ${mode} of share ${tag}`, `one of ${SHARE_CACHES.join(', ')}`)
  return { tag, hostPath, readOnly: access === ':ro', cache }
}
