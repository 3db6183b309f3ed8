// Table 8: from QEMU's start to a guest that serves, and from the shell to the first command's exit, beside what the same
// kernel takes by itself to a first program of ten lines, on the same machine.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { cpio } from '../../qemu/cpio.js'
import * as devices from '../../qemu/devices.js'
import { prepareImages } from '../../qemu/images.js'
import { QEMU } from '../../qemu/probe.js'
import type { RunRecord } from '../../qemu/result.js'
import { decide, MEMORY_MIB, type Settings } from '../../qemu/settings.js'
import { CpuError } from '../../src/errors.js'
import { packageRoot } from '../../src/version.js'
import { need } from './needs.js'
import { median } from './report.js'
import type { BenchOptions, BenchTable } from './table.js'

type BootOptions = Partial<BenchOptions> & { readonly signal?: AbortSignal | undefined }

const REPEAT = 9
const QUICK_REPEAT = 1
const LIMIT_MS = 180_000
/** Of a restored guest, from QEMU's start. */
const WARM_GOAL_MS = 500
const KERNEL = 'kernel alone'
const WAYS = [KERNEL, 'booted', 'from a snapshot'] as const
type Way = (typeof WAYS)[number]

interface Times {
  /** From QEMU's start to the guest's word, whoever it is from. */
  readonly readyMs: number
  /** Of the whole of `cpu-vm run`. */
  readonly totalMs: number
}

/** Measures. Throws CpuError. */
export async function bootTable(options: BootOptions = {}): Promise<BenchTable> {
  const say = options.say ?? (() => undefined)
  const repeat = options.repeat ?? (options.quick ? QUICK_REPEAT : REPEAT)
  await need(['gcc'], say)
  const staging = mkdtempSync(path.join(os.tmpdir(), 'cpu-bench-'))
  try {
    const settings = await decide({ net: 'tcp' })
    const alone = await kernelAlone(settings, staging)
    const run = (snapshot: 'auto' | 'never') => timeRun(['-snapshot', snapshot], settings, staging)
    const measures: Readonly<Record<Way, () => Promise<Times>>> = {
      [KERNEL]: () => timeToUserSpace(alone),
      booted: () => run('never'),
      'from a snapshot': () => run('auto'),
    }
    // What is never seen again: images are built, and the snapshot.
    for (const way of WAYS) await measures[way]()
    const samples: Record<Way, Times[]> = { [KERNEL]: [], booted: [], 'from a snapshot': [] }
    for (let i = 0; i < repeat; i++) {
      for (let j = 0; j < WAYS.length; j++) {
        options.signal?.throwIfAborted()
        const way = WAYS[(i + j) % WAYS.length]!
        const times = await measures[way]()
        samples[way].push(times)
        say(`${i + 1}/${repeat} ${way}: ${Math.round(times.readyMs)} ms, ${Math.round(times.totalMs)} ms`)
      }
    }
    return asTable(samples, settings, repeat)
  } finally {
    rmSync(staging, { recursive: true, force: true })
  }
}

/** QEMU's arguments for the kernel, on a machine as ours are, with one program of its own. */
async function kernelAlone(settings: Settings, staging: string): Promise<string[]> {
  const { bootImage } = await prepareImages(settings, {})
  const program = path.join(staging, 'first-program')
  const source = path.join(packageRoot(), 'scripts/bench/first-program.c')
  await execa('gcc', ['-O2', '-static', '-o', program, source])
  const initrd = path.join(staging, 'alone.cpio')
  const entries = cpio([
    { type: 'directory', path: 'dev' },
    { type: 'character-device', path: 'dev/console', major: 5, minor: 1 },
    { type: 'copy', path: 'init', from: program, mode: 0o755 },
  ])
  const chunks: Uint8Array[] = []
  for await (const chunk of entries) chunks.push(chunk)
  await writeFile(initrd, Buffer.concat(chunks))
  const { cpus, accelerator } = settings
  return devices.commandLine([
    devices.board({ memoryMiB: MEMORY_MIB, cpus, sharedMemory: false }),
    devices.acceleration(accelerator),
    { qemu: ['-serial', 'stdio'], append: ['console=ttyS0'] },
    devices.userNetwork({ hostPort: 0, guestPort: 1 }),
    devices.boot({ image: bootImage, initrd }),
  ])
}

async function timeToUserSpace(args: readonly string[]): Promise<Times> {
  const start = performance.now()
  const guest = execa(QEMU, args, { stdin: 'pipe', timeout: LIMIT_MS, reject: false, buffer: false })
  try {
    let said = ''
    for await (const chunk of guest.stdout) {
      said += chunk
      if (!said.includes('user space')) continue
      const readyMs = performance.now() - start
      return { readyMs, totalMs: readyMs }
    }
    throw new CpuError('ERR_CPU_BENCH', `the kernel does not come to user space: ${said.slice(-500)}`)
  } finally {
    guest.kill('SIGKILL')
    await guest
  }
}

async function timeRun(flags: readonly string[], { kernel }: Settings, staging: string): Promise<Times> {
  const result = path.join(staging, 'result.json')
  const launcher = path.join(packageRoot(), 'dist/bundle/cpu-vm.cjs')
  const args = ['run', '-kernel', kernel.image, '-net', 'tcp', '-result', result, ...flags, '--', 'true']
  const start = performance.now()
  await execa(process.execPath, [launcher, ...args], { cwd: '/', stdin: 'ignore', timeout: LIMIT_MS })
  const totalMs = performance.now() - start
  const { stages }: RunRecord = JSON.parse(readFileSync(result, 'utf8'))
  const stage = stages.findLast(({ stage }) => stage === 'boot' || stage === 'restore')
  return { readyMs: stage!.ms, totalMs }
}

function asTable(
  times: Readonly<Record<Way, readonly Times[]>>,
  settings: Settings,
  repeat: number,
): BenchTable {
  const samples = (of: keyof Times) =>
    Object.fromEntries(WAYS.map(way => [way, times[way].map(time => time[of])]))
  const row = (name: string, of: keyof Times) => ({
    name,
    unit: 'ms',
    better: 'lower' as const,
    samples: samples(of),
    // Less than half of the kernel's own time is ours.
    goals: (['booted', 'from a snapshot'] as const).map(column => ({
      column,
      reference: KERNEL,
      atLeast: 1 / 1.5,
    })),
  })
  const warmMs = Math.round(median(times['from a snapshot'].map(({ readyMs }) => readyMs)))
  const verdict = warmMs < WARM_GOAL_MS ? 'met' : 'NOT MET'
  return {
    name: 'boot',
    title: 'A machine for one command',
    columns: WAYS,
    rows: [row("QEMU's start to ready", 'readyMs'), row('cpu-vm run -- true', 'totalMs')],
    notes: [
      `${repeat} repetitions; kernel ${settings.kernel.release}, ${settings.accelerator}, ${settings.cpus} processor(s), ${MEMORY_MIB} MiB, TCP`,
      `${KERNEL}: to the first word of a static program of ten lines, the only file of its guest`,
      `from a snapshot, ready after ${warmMs} ms; the goal is ${WARM_GOAL_MS} ms: ${verdict}`,
    ],
  }
}
