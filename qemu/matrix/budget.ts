// How much of this machine a matrix may use, and what runs when within it.

import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/** What a machine takes of its host. */
export interface Need {
  readonly memoryMiB: number
  readonly cpus: number
}

export interface Budget extends Need {
  /** Machines at a time. */
  readonly jobs: number
}

const MIB = 1024 * 1024
/** For everything else on this machine. */
const RESERVE_MIB = 512
/** Of QEMU and virtiofsd themselves. */
const OVERHEAD_MIB = 96
/** A processor that is not emulated waits for disks and files half of its time. */
const KVM_SHARE = 0.5

/** Jobs that are asked for replace the limit by processors: who says 8 means it. */
export function hostBudget(options: { jobs?: number | undefined; memoryMiB?: number | undefined }): Budget {
  const { jobs, memoryMiB } = options
  return {
    jobs: jobs ?? Number.POSITIVE_INFINITY,
    cpus: jobs === undefined ? availableParallelism() : Number.POSITIVE_INFINITY,
    memoryMiB: memoryMiB ?? Math.max(0, availableMemoryMiB() - RESERVE_MIB),
  }
}

/** Emulated processors are threads that are always busy. */
export function machineNeed(settings: Need & { readonly accelerator: 'kvm' | 'tcg' }): Need {
  const { memoryMiB, cpus, accelerator } = settings
  return { memoryMiB: memoryMiB + OVERHEAD_MIB, cpus: accelerator === 'tcg' ? cpus : cpus * KVM_SHARE }
}

/** Within the limit of a container, too. */
function availableMemoryMiB(): number {
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? []
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY
  return Math.floor(Math.min(Number(kib) / 1024, limit / MIB))
}

/**
 * Runs all jobs, each as soon as there is room for it; one that never fits runs when nothing else does. Resolves when
 * all have ended; rejects then with what the first of them threw.
 */
export async function runWithin<T extends { readonly need: Need }>(
  budget: Budget,
  jobs: readonly T[],
  run: (job: T) => Promise<void>,
): Promise<void> {
  const waiting = [...jobs]
  const running = new Map<T, Promise<void>>()
  const failures: unknown[] = []
  while (waiting.length > 0 || running.size > 0) {
    const next = waiting.findIndex(job => running.size === 0 || fits(budget, [...running.keys(), job]))
    if (next < 0) {
      await Promise.race(running.values())
      continue
    }
    const [job] = waiting.splice(next, 1)
    const end = run(job!)
      .catch(error => failures.push(error))
      .then(() => void running.delete(job!))
    running.set(job!, end)
  }
  if (failures.length > 0) throw failures[0]
}

function fits(budget: Budget, jobs: readonly { readonly need: Need }[]): boolean {
  const total = (of: (need: Need) => number) => jobs.reduce((sum, { need }) => sum + of(need), 0)
  return (
    jobs.length <= budget.jobs &&
    total(need => need.memoryMiB) <= budget.memoryMiB &&
    total(need => need.cpus) <= budget.cpus
  )
}
