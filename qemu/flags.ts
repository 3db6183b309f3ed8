// The flags of each cpu-vm command, and what they make of a machine.

import { defineFlags, type FlagTable, type FlagValues } from '../src/cli/flags.js'
import type { HelpText } from '../src/cli/help.js'
import { UsageError } from '../src/errors.js'
import { DEBIAN_FLAVOURS } from './debian-kernel.js'
import type { MachineOptions } from './settings.js'

const COMMON = defineFlags({
  v: { kind: 'boolean', help: 'say what is chosen, and the time of every stage' },
  help: { kind: 'boolean', help: 'show this' },
  h: { kind: 'boolean', hidden: true, help: 'show this' },
})

const MACHINE = defineFlags({
  name: { kind: 'string', placeholder: 'NAME', help: 'name of the machine (default: one that is free)' },
  kernel: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'bzImage or vmlinux to boot (default: the newest Debian kernel in the cache)',
  },
  modules: {
    kind: 'string',
    placeholder: 'DIR',
    help: "the kernel's lib/modules/RELEASE (default: looked for around the kernel)",
  },
  append: { kind: 'string', placeholder: 'TEXT', help: "more of the kernel's command line" },
  memory: { kind: 'integer', placeholder: 'MIB', min: 384, help: 'memory (default 1024, nested 2048)' },
  cpus: { kind: 'integer', placeholder: 'N', min: 1, max: 255, help: 'processors (default 2, emulated 1)' },
  share: {
    kind: 'list',
    placeholder: 'TAG=DIR[:ro]',
    help: 'directory to share by virtiofs; may be repeated',
  },
  net: {
    kind: 'string',
    choices: ['auto', 'vsock', 'tcp', 'both'],
    default: 'auto',
    help: 'how the machine is reached: auto takes vsock where it works',
  },
  accel: {
    kind: 'string',
    choices: ['auto', 'kvm', 'tcg'],
    default: 'auto',
    help: 'auto takes KVM where it works, else emulates the processor (tcg)',
  },
  nested: { kind: 'boolean', help: 'KVM and vhost-vsock in the guest, for guests of its own' },
  timeout: {
    kind: 'duration',
    min: 1,
    placeholder: 'TIME',
    help: 'limit of the boot (default 1m0s, emulated 2m0s)',
  },
})

export const START_FLAGS = defineFlags({ ...MACHINE, ...COMMON })

export const RUN_FLAGS = defineFlags({
  ...MACHINE,
  namespace: {
    kind: 'string',
    placeholder: 'LIST',
    help: 'what of yours is bound over the guest, as in cpu(1)',
  },
  fstab: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'fstab(5) lines to mount there, instead of those in $CPU_FSTAB',
  },
  ...COMMON,
})

export const PLAIN_FLAGS = COMMON

export const KERNEL_FLAGS = defineFlags({
  fetch: {
    kind: 'string',
    choices: DEBIAN_FLAVOURS,
    placeholder: 'FLAVOUR',
    help: 'download a Debian kernel into the cache, unless it is there: amd64, cloud-amd64, backports/amd64',
  },
  ...COMMON,
})

export const HELP: Readonly<Record<string, { readonly table: FlagTable; readonly text: HelpText }>> = {
  start: {
    table: START_FLAGS,
    text: {
      usage: 'cpu-vm start [flags]',
      summary: 'Starts a virtual machine with cpud in it, and leaves it running.',
      examples: [
        { command: 'cpu-vm start -name v', does: 'then: cpu v uname -r' },
        { command: 'cpu-vm start -share src=.', does: 'the current directory by virtiofs' },
      ],
    },
  },
  run: {
    table: RUN_FLAGS,
    text: {
      usage: 'cpu-vm run [flags] [--] command [argument...]',
      summary: 'Runs a command in a virtual machine of its own, with your files under it.',
      examples: [
        { command: 'cpu-vm run -- make test', does: 'exits with the exit code of make' },
        { command: 'cpu-vm run -kernel bzImage uname -r', does: 'on a kernel of yours' },
      ],
    },
  },
  stop: {
    table: PLAIN_FLAGS,
    text: { usage: 'cpu-vm stop NAME...', summary: 'Stops machines and removes their files.', examples: [] },
  },
  list: {
    table: PLAIN_FLAGS,
    text: { usage: 'cpu-vm list', summary: 'Shows the machines that run.', examples: [] },
  },
  kernel: {
    table: KERNEL_FLAGS,
    text: {
      usage: 'cpu-vm kernel [flags]',
      summary: 'Shows the kernels in the cache and what each can do, or fetches one.',
      examples: [{ command: 'cpu-vm kernel -fetch amd64', does: "the newest of Debian's" }],
    },
  },
  doctor: {
    table: PLAIN_FLAGS,
    text: {
      usage: 'cpu-vm doctor',
      summary: 'Shows what works on this machine, and what to do.',
      examples: [],
    },
  },
}

/** What the flags of `start` and `run` ask for. Throws UsageError. */
export function machineOptions(values: FlagValues<typeof MACHINE>): MachineOptions {
  return {
    name: values.name,
    kernel: values.kernel,
    modules: values.modules,
    append: values.append,
    memoryMiB: values.memory,
    cpus: values.cpus,
    shares: values.share.map(parseShare),
    net: values.net,
    accel: values.accel,
    nested: values.nested,
    timeoutMs: values.timeout,
  }
}

/** `TAG=DIR` or `TAG=DIR:ro`. Throws UsageError. */
export function parseShare(text: string): { tag: string; hostPath: string; readOnly: boolean } {
  const match = /^([^=]+)=(.+?)(:ro|:rw)?$/s.exec(text)
  if (match === null)
    throw new UsageError(`invalid share ${JSON.stringify(text)}`, 'write -share TAG=DIR or TAG=DIR:ro')
  return { tag: match[1]!, hostPath: match[2]!, readOnly: match[3] === ':ro' }
}
