// What this machine can really do: KVM runs code, /dev/vhost-vsock opens, virtiofsd gets through its sandbox. A
// file that exists proves none of that. Every probe has a time limit; the answers are kept for some minutes.

import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'
import { cacheDirectory } from './cache.js'
import { lastLine } from './daemon-process.js'
import { KVM_DEVICE, openError, VSOCK_DEVICE } from './device-access.js'
import { endProcesses } from './process-identity.js'
import { findVirtiofsd, type Sandbox, startVirtiofsd, type VirtiofsdProgram } from './virtiofsd.js'

/** Whether something works, and why not. */
export interface Probe {
  readonly works: boolean
  /** One line; empty when it works. */
  readonly reason: string
  /** An answer that may be another the next moment, and is not remembered. */
  readonly isPassing?: boolean
}

export interface SandboxProbe extends Probe {
  /** The strongest that works. */
  readonly sandbox: Sandbox
}

export interface ProbeOptions {
  /** Asks again instead of taking an answer of some minutes ago. */
  readonly fresh?: boolean
}

export const QEMU = 'qemu-system-x86_64'

/** Generous: in a guest that is emulated itself, QEMU takes seconds to start. */
const KVM_LIMIT_MS = 15_000
const SANDBOX_LIMIT_MS = 15_000
const KEEP_MS = 10 * 60_000

/** Whether a guest runs on KVM here, with the processor that our machines get. */
export function probeKvm(options: ProbeOptions = {}): Promise<Probe> {
  return remembered('kvm', options, async () => {
    const open = probeOpen(KVM_DEVICE)
    return open.works ? runProbeGuest(['-accel', 'kvm', '-cpu', 'host']) : open
  })
}

/** Whether guests can have AF_VSOCK through the host's kernel. */
export function probeVhostVsock(): Probe {
  return probeOpen(VSOCK_DEVICE)
}

/** The strongest sandbox in which virtiofsd comes up. */
export function probeSandbox(program: VirtiofsdProgram, options: ProbeOptions = {}): Promise<SandboxProbe> {
  return remembered(`sandbox ${program.path}`, options, async () => {
    const namespace = await trySandbox(program, 'namespace')
    if (namespace === undefined) return { works: true, reason: '', sandbox: 'namespace' }
    const chroot = await trySandbox(program, 'chroot')
    if (chroot === undefined) return { works: true, reason: namespace, sandbox: 'chroot' }
    return { works: false, reason: chroot, sandbox: 'none' }
  })
}

/** virtiofsd and its sandbox together; `works` is false without a virtiofsd. */
export async function probeVirtiofsd(
  options: ProbeOptions = {},
): Promise<SandboxProbe & { readonly program?: VirtiofsdProgram }> {
  const program = findVirtiofsd()
  if (program === undefined) return { works: false, reason: 'virtiofsd is not installed', sandbox: 'none' }
  return { ...(await probeSandbox(program, options)), program }
}

/** The version of QEMU, such as `7.2.22`; undefined when it is not installed. */
export async function qemuVersion(program = QEMU): Promise<string | undefined> {
  const { stdout, failed } = await execa(program, ['--version'], { reject: false, timeout: 10_000 })
  return failed ? undefined : /version (\S+)/.exec(stdout)?.[1]
}

function probeOpen(device: string): Probe {
  const error = openError(device)
  if (error === undefined) return { works: true, reason: '' }
  const reason = error === 'ENOENT' ? `there is no ${device}` : `${device} does not open (${error})`
  return { works: false, reason }
}

/** What the probe's guest writes to the exit device, and what QEMU makes of it: twice that plus 1. */
const PROBE_VALUE = 0x15
const PROBE_EXIT_CODE = PROBE_VALUE * 2 + 1

/** Starts QEMU with a guest of some 60 bytes, which ends it with a known exit code. Also used with TCG by tests. */
export async function runProbeGuest(acceleration: readonly string[]): Promise<Probe> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-probe-'))
  try {
    const firmware = join(directory, 'firmware')
    await writeFile(firmware, probeFirmware())
    const machine = [
      '-machine',
      'q35',
      '-nodefaults',
      '-no-user-config',
      '-no-reboot',
      '-display',
      'none',
      '-m',
      '16',
    ]
    const exit = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=1']
    const result = await execa(QEMU, [...acceleration, ...machine, '-bios', firmware, ...exit], {
      cwd: directory,
      reject: false,
      stdin: 'ignore',
      timeout: KVM_LIMIT_MS,
      killSignal: 'SIGKILL',
    })
    if (result.exitCode === PROBE_EXIT_CODE) return { works: true, reason: '' }
    // By a Ctrl-C, which is for all on the terminal: it says nothing of the accelerator, and is not to be remembered.
    if (result.stderr.includes('terminating on signal')) throw new Error('the probe was interrupted')
    if (result.code === 'ENOENT') return { works: false, reason: `${QEMU} is not installed`, isPassing: true }
    if (result.timedOut) return { works: false, reason: 'a guest on it does not get anywhere' }
    const said = result.stderr.split('\n').find(line => /error|fail/i.test(line)) ?? result.shortMessage ?? ''
    return { works: false, reason: `a guest on it fails: ${said.replace(`${QEMU}: `, '')}` }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** 64 KiB of firmware that goes from real to protected mode, reads memory there, and ends the machine. */
function probeFirmware(): Buffer {
  const firmware = Buffer.alloc(0x10000, 0xf4) // hlt
  const put = (offset: number, ...bytes: number[]) => Buffer.from(bytes).copy(firmware, offset)
  put(
    0xff00, // 16-bit code
    ...[0xfa], // cli
    ...[0x2e, 0x66, 0x0f, 0x01, 0x16, 0x78, 0xff], // lgdtl %cs:0xff78
    ...[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // set PE in cr0
    ...[0x66, 0xea, 0x30, 0xff, 0xff, 0xff, 0x08, 0x00], // ljmpl $8, $0xffffff30
  )
  put(
    0xff30, // 32-bit code
    ...[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8], // data segment 16
    ...[0xbe, 0xf0, 0xff, 0xff, 0xff, 0x8a, 0x06], // al = byte at 0xfffffff0
    ...[0x3c, 0xe9, 0x75, 0x07], // other than the jmp below: do not tell
    ...[0xb0, PROBE_VALUE, 0x66, 0xba, 0xf4, 0x00, 0xee], // outb to port 0xf4
    ...[0xf4, 0xeb, 0xfd], // hlt for ever
  )
  // Descriptors: none, flat code, flat data; then size and address of the table.
  put(0xff60, 0, 0, 0, 0, 0, 0, 0, 0)
  put(0xff68, 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0)
  put(0xff70, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0)
  put(0xff78, 23, 0, 0x60, 0xff, 0xff, 0xff)
  put(0xfff0, 0xe9, 0x0d, 0xff) // reset: jmp 0xff00
  return firmware
}

/** Undefined when virtiofsd comes up in it, else the reason. It enters the sandbox when QEMU has connected. */
async function trySandbox(program: VirtiofsdProgram, sandbox: Sandbox): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), 'cpu-harness-probe-'))
  try {
    const share = { tag: 'probe', hostPath: directory, readOnly: false, cache: 'auto' } as const
    const { daemon, socket, logFile } = await startVirtiofsd({
      program,
      sandbox,
      share,
      directory,
      detached: false,
    })
    const peer = connect(socket)
    peer.on('error', () => undefined)
    try {
      return await sandboxEntered(program, logFile, daemon.ended)
    } finally {
      peer.destroy()
      await endProcesses([daemon.identity])
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function sandboxEntered(
  program: VirtiofsdProgram,
  logFile: string,
  ended: Promise<unknown>,
): Promise<string | undefined> {
  const entered = program.kind === 'c' ? /virtio_loop: Entry/ : /Waiting for vhost-user socket/
  let over = false
  void ended.then(() => {
    over = true
  })
  const limit = performance.now() + SANDBOX_LIMIT_MS
  while (!over && performance.now() < limit) {
    if (entered.test(await readFile(logFile, 'utf8'))) return undefined
    await sleep(10)
  }
  return lastLine(logFile) ?? 'virtiofsd says nothing'
}

/** Keeps an answer in a file of the cache, for some minutes and this boot of the machine. */
async function remembered<T extends Probe>(
  name: string,
  { fresh = false }: ProbeOptions,
  probe: () => Promise<T>,
): Promise<T> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim()
  const directory = join(cacheDirectory(), 'probes')
  const file = join(directory, `${name.replace(/\W+/g, '-')}-${process.getuid?.()}-${bootId}.json`)
  const age = Date.now() - ((await stat(file).catch(() => undefined))?.mtimeMs ?? 0)
  if (!fresh && age < KEEP_MS) return JSON.parse(await readFile(file, 'utf8'))
  const answer = await probe()
  if (answer.isPassing) return answer
  // Only a convenience: where it cannot be kept, it is asked again.
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch(() => undefined)
  const temporary = `${file}.${process.pid}`
  await writeFile(temporary, JSON.stringify(answer))
    .then(() => rename(temporary, file))
    .catch(() => undefined)
  return answer
}
