// The kernel of tests on real machines: Debian's, downloaded once.

import { fetchDebianKernel } from '../../qemu/debian-kernel.js'
import type { Kernel } from '../../qemu/kernel.js'

export function realKernel(flavour: 'amd64' | 'cloud-amd64' = 'amd64'): Promise<Kernel> {
  return fetchDebianKernel({ flavour })
}
