// The kernel of tests on real machines: Debian's, downloaded once.

import { type DebianFlavour, fetchDebianKernel } from '../../qemu/debian-kernel.js'
import type { Kernel } from '../../qemu/kernel.js'

const fetched = new Map<DebianFlavour, Promise<Kernel>>()

export function realKernel(flavour: DebianFlavour = 'amd64'): Promise<Kernel> {
  const kernel = fetched.get(flavour) ?? fetchDebianKernel({ flavour })
  fetched.set(flavour, kernel)
  return kernel
}
