// From a plan to jobs: every machine decided, every kernel fetched and every image made before the first machine starts.
// So what cannot be is told at once, and machines that start together do not make one thing twice.

import type { FlagValues } from '../../src/cli/flags.js'
import { UsageError } from '../../src/errors.js'
import { checkSessionFlags, rehearseSession } from '../commands/session.js'
import { type DebianFlavour, fetchDebianKernel } from '../debian-kernel.js'
import { machineOptions, type RUN_FLAGS } from '../flags.js'
import { baseImage } from '../image.js'
import { decide, type MachineOptions, type Settings } from '../settings.js'
import { bootImage } from '../vmlinux.js'
import { machineNeed } from './budget.js'
import type { FlagLayer } from './matrix-file.js'
import type { PlannedMachine, PlannedTest } from './plan.js'
import { repeatLine } from './repeat-line.js'
import type { MachineJob, TestJob } from './run-machine.js'

export interface PrepareOptions {
  /** What all machines have that the matrix does not say. */
  readonly defaults: FlagLayer
  /** One line; of one machine, where it is named. */
  readonly onMessage: (line: string, machine?: string) => void
  readonly signal: AbortSignal
}

/** What is tested is the boot, too, unless the file says otherwise. */
const BOOTED: FlagLayer = { snapshot: 'never' }
/** A test that hangs must not hang a CI. */
const TEST_TIMEOUT_MS = 5 * 60_000

type Values = FlagValues<typeof RUN_FLAGS>

/** Throws UsageError, and what `decide` and `fetchDebianKernel` throw. */
export async function prepareJobs(
  machines: readonly PlannedMachine[],
  options: PrepareOptions,
): Promise<MachineJob[]> {
  const jobs: MachineJob[] = []
  const kernels = new Map<DebianFlavour, string>()
  for (const planned of machines) {
    const kernel = await debianKernel(planned.kernel.debian, kernels, options)
    jobs.push(
      await prepareJob(planned, { ...options.defaults, ...BOOTED, ...planned.flags, ...kernel }, options),
    )
  }
  return jobs
}

/** What takes longest, once for each kernel. Throws as `prepareImages`. */
export async function prepareKernels(
  jobs: readonly MachineJob[],
  { signal, onMessage }: PrepareOptions,
): Promise<void> {
  const kernels = new Map(jobs.map(({ settings: { kernel, tree } }) => [kernel.image, { kernel, tree }]))
  for (const { kernel, tree } of kernels.values()) {
    await bootImage(kernel.image)
    await baseImage({ kernel, tree, signal, onProgress: line => onMessage(line) })
  }
}

async function debianKernel(
  flavour: DebianFlavour | undefined,
  known: Map<DebianFlavour, string>,
  { onMessage, signal }: PrepareOptions,
): Promise<FlagLayer> {
  if (flavour === undefined) return {}
  const image =
    known.get(flavour) ??
    (await fetchDebianKernel({ flavour, signal, onProgress: line => onMessage(line) })).image
  known.set(flavour, image)
  return { kernel: image }
}

async function prepareJob(
  planned: PlannedMachine,
  flags: FlagLayer,
  { onMessage, signal }: PrepareOptions,
): Promise<MachineJob> {
  const values = flags as Values
  if (values.net === 'none')
    throw new UsageError(`no test gets into ${planned.id} with net = "none"`, 'leave it out, or write "tcp"')
  const machine: MachineOptions = {
    ...machineOptions(values),
    snapshot: values.snapshot,
    rehearse: rehearseSession,
    signal,
  }
  const settings = await decide({ ...machine, onMessage: line => onMessage(line) })
  const tests: TestJob[] = []
  for (const test of planned.tests) tests.push(await prepareTest(test, values, settings))
  return { planned, options: machine, settings, need: machineNeed(settings), tests }
}

async function prepareTest(planned: PlannedTest, machine: Values, settings: Settings): Promise<TestJob> {
  const values: Values = { ...machine, ...planned.test.flags }
  await checkSessionFlags(values)
  const timeoutMs = values.timeout ?? TEST_TIMEOUT_MS
  return {
    planned,
    session: values,
    timeoutMs,
    failOn: { oops: values['fail-on-oops'], warning: values['fail-on-warning'] },
    repeat: repeatLine(
      { ...values, kernel: settings.kernel.image, timeout: timeoutMs },
      planned.test.command,
    ),
  }
}
