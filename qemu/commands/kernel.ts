// cpu-vm kernel

import { fetchDebianKernel } from '../debian-kernel.js'
import { KERNEL_FLAGS } from '../flags.js'
import { cachedKernels } from '../kernel.js'
import { command, refuseOperands } from './command.js'
import { print, say, table } from './output.js'

const HEADINGS = ['RELEASE', 'FUSE', '9P', 'VIRTIOFS', 'VSOCK', 'KVM', 'FILE']

export const kernel = command('kernel', KERNEL_FLAGS, async (flags, signal) => {
  refuseOperands(flags)
  if (flags.values.fetch !== undefined) {
    const { image } = await fetchDebianKernel({ flavour: flags.values.fetch, signal, onProgress: say })
    return print(`${image}\n`)
  }
  const rows = (await cachedKernels()).map(({ release, features, image }) => [
    release,
    features.fuse,
    features['9p'],
    features.virtiofs,
    features.vsock,
    features.kvm,
    image,
  ])
  return print(table([HEADINGS, ...rows]))
})
