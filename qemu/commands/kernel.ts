// cpu-vm kernel: what can be booted here, and what each kernel lacks.

import { describeError } from '../../src/cli/main.js'
import { UsageError } from '../../src/errors.js'
import { nearestName } from '../../src/nearest-name.js'
import { DEBIAN_FLAVOURS, type FetchOptions, fetchDebianKernel } from '../debian-kernel.js'
import { KERNEL_FLAGS } from '../flags.js'
import type { Kernel } from '../kernel.js'
import { lackingFeatures } from '../kernel-config.js'
import { bootKernels, builtKernels, cachedKernels, findKernel } from '../kernel-search.js'
import { ModuleTree } from '../modules.js'
import { command, refuseOperands } from './command.js'
import { print, printJson, say, table } from './output.js'

interface Found {
  readonly kernel: Kernel
  /** How it was found. */
  readonly from: 'cache' | 'boot' | 'build' | 'named' | 'fetched'
}

const HEADINGS = ['RELEASE', 'ARCH', 'FROM', 'LACKS', 'MODULES', 'FILE']

export const kernel = command('kernel', KERNEL_FLAGS, async (flags, signal) => {
  const { values, operands } = flags
  const { fetch, json } = values
  if (fetch !== undefined) {
    refuseOperands(flags)
    const fetched = await fetchDebianKernel({ ...wantedPackage(fetch), signal, onProgress: say })
    return json ? printJson(describe({ kernel: fetched, from: 'fetched' })) : print(`${fetched.image}\n`)
  }
  const found = operands.length === 0 ? await allKernels() : await namedKernels(operands)
  return json ? printJson(found.map(describe)) : print(table([HEADINGS, ...found.map(row)]))
})

function wantedPackage(text: string): Pick<FetchOptions, 'flavour' | 'package'> {
  const flavour = DEBIAN_FLAVOURS.find(known => known === text)
  if (flavour !== undefined) return { flavour }
  if (/^linux-image-[\w.+-]+(=[\w.+~:-]+)?$/.test(text)) return { package: text }
  const nearest = nearestName(text, DEBIAN_FLAVOURS)
  throw new UsageError(
    `invalid value ${JSON.stringify(text)} for flag -fetch: neither a flavour nor a package`,
    nearest === undefined
      ? `write one of ${DEBIAN_FLAVOURS.join(', ')}, or linux-image-RELEASE`
      : `did you mean ${nearest}?`,
  )
}

async function allKernels(): Promise<Found[]> {
  const passOver = (error: Error) => say(`passed over: ${describeError(error)}`)
  const from = (place: Found['from']) => (kernel: Kernel) => ({ kernel, from: place })
  return [
    ...(await builtKernels(passOver)).map(from('build')),
    ...(await cachedKernels()).map(from('cache')),
    ...(await bootKernels(passOver)).map(from('boot')),
  ]
}

async function namedKernels(names: readonly string[]): Promise<Found[]> {
  const found: Found[] = []
  for (const name of names) found.push({ kernel: await findKernel({ kernel: name }), from: 'named' })
  return found
}

function row({ kernel, from }: Found): string[] {
  const { release, architecture, image, modules, lacks } = describe({ kernel, from })
  const told = kernel.configSource === undefined ? 'unknown' : lacks.join(',') || '-'
  return [release, architecture, from, told, String(modules ?? 'none'), image]
}

/** As `kernel -json` has it. */
function describe({ kernel, from }: Found) {
  const { release, architecture, image, modulesDirectory, configSource, features } = kernel
  return {
    release,
    architecture,
    from,
    image,
    modulesDirectory: modulesDirectory ?? null,
    modules: modulesDirectory === undefined ? null : new ModuleTree(modulesDirectory).names.length,
    config: configSource ?? null,
    features,
    lacks: lackingFeatures(features),
  }
}
