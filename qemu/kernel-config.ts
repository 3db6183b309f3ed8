// What a kernel can do for our guests, as its configuration has it: a file beside it, or the one within it
// (CONFIG_IKCONFIG, kernel/configs.c in Linux), or else its modules.

import { readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { type ModuleTree, readModule } from './modules.js'
import { uncompressedKernel } from './vmlinux.js'

/** `absent` is also a module whose file is nowhere; `unknown` where there is neither a configuration nor modules. */
export type Presence = 'builtin' | 'module' | 'absent' | 'unknown'

/** What decides which of our ways a kernel can go. */
export interface KernelFeatures {
  /** The session's files by 9P: 9p with its file-descriptor transport. */
  readonly '9p': Presence
  readonly fuse: Presence
  readonly virtiofs: Presence
  /** AF_VSOCK over virtio. */
  readonly vsock: Presence
  /** A network card, for TCP. */
  readonly 'virtio-net': Presence
  /** Ports by which to do without one. */
  readonly 'virtio-serial': Presence
  /** KVM for guests of the guest. */
  readonly kvm: Presence
}

/** Options and modules behind each feature; all of them are needed. */
const FEATURES: Readonly<
  Record<keyof KernelFeatures, readonly (readonly [option: string, module: string])[]>
> = {
  '9p': [
    ['9P_FS', '9p'],
    ['NET_9P', '9pnet'],
    ['NET_9P_FD', '9pnet_fd'],
  ],
  fuse: [['FUSE_FS', 'fuse']],
  virtiofs: [['VIRTIO_FS', 'virtiofs']],
  vsock: [
    ['VSOCKETS', 'vsock'],
    ['VIRTIO_VSOCKETS', 'vmw_vsock_virtio_transport'],
  ],
  'virtio-net': [['VIRTIO_NET', 'virtio_net']],
  'virtio-serial': [['VIRTIO_CONSOLE', 'virtio_console']],
  kvm: [['KVM', 'kvm']],
}

export interface KernelConfig {
  /** The file that says it: a config, the kernel or its module `configs`; the modules' directory; undefined if nothing does. */
  readonly source: string | undefined
  readonly features: KernelFeatures
}

export interface KernelParts {
  readonly image: string
  readonly release: string
  readonly modulesDirectory: string | undefined
}

export async function readKernelConfig(parts: KernelParts, tree: ModuleTree): Promise<KernelConfig> {
  const config = configBeside(parts) ?? (await configWithin(parts.image, tree))
  const options = config === undefined ? undefined : parseConfig(config.text)
  const known = options !== undefined || parts.modulesDirectory !== undefined
  const presence = (option: string, module: string): Presence => {
    if (!known) return 'unknown'
    if (options === undefined) return tree.presence(module)
    const value = options.get(option)
    return value === 'y' ? 'builtin' : value === 'm' ? tree.presence(module) : 'absent'
  }
  const features = Object.entries(FEATURES).map(([feature, needed]) => {
    const found = needed.map(([option, module]) => presence(option, module))
    return [feature, weakest(found)]
  })
  return {
    source: config?.source ?? parts.modulesDirectory,
    features: Object.fromEntries(features) as unknown as KernelFeatures,
  }
}

function weakest(found: readonly Presence[]): Presence {
  const order: readonly Presence[] = ['unknown', 'absent', 'module']
  return order.find(presence => found.includes(presence)) ?? 'builtin'
}

/** Names of the features that the kernel has not for certain. */
export function lackingFeatures(features: KernelFeatures): (keyof KernelFeatures)[] {
  const names = Object.keys(features) as (keyof KernelFeatures)[]
  return names.filter(name => features[name] === 'absent')
}

interface ConfigText {
  readonly source: string
  readonly text: string
}

function configBeside({ image, release, modulesDirectory }: KernelParts): ConfigText | undefined {
  const folder = dirname(image)
  const candidates = [
    join(folder, `config-${release}`),
    ...(modulesDirectory === undefined
      ? []
      : [join(modulesDirectory, 'config'), join(modulesDirectory, 'build/.config')]),
    join(buildDirectory(image) ?? folder, '.config'),
  ]
  const source = candidates.find(isFile)
  return source === undefined ? undefined : { source, text: readFileSync(source, 'utf8') }
}

async function configWithin(image: string, tree: ModuleTree): Promise<ConfigText | undefined> {
  const module = tree.path('configs')
  const data = module === undefined ? await uncompressedKernel(image) : await readModule(module)
  const text = data === undefined ? undefined : embeddedConfig(data)
  return text === undefined ? undefined : { source: module ?? image, text }
}

/** Gzip between two marks. */
export function embeddedConfig(data: Buffer): string | undefined {
  const start = data.indexOf('IKCFG_ST')
  const end = data.indexOf('IKCFG_ED', start)
  if (start < 0 || end < 0) return undefined
  try {
    return gunzipSync(data.subarray(start + 'IKCFG_ST'.length, end)).toString()
  } catch {
    return undefined
  }
}

/** Where a kernel was built that lies there as the build leaves it: `arch/x86/boot/bzImage` or `vmlinux`. */
export function buildDirectory(image: string): string | undefined {
  const folder = dirname(image)
  const root = basename(folder) === 'boot' ? join(folder, '../../..') : folder
  return isFile(join(root, '.config')) && isFile(join(root, 'include/config/auto.conf')) ? root : undefined
}

/** A kernel's .config: `CONFIG_9P_FS=m` gives `9P_FS` -> `m`; what is not set is not in it. */
export function parseConfig(text: string): Map<string, string> {
  const options = new Map<string, string>()
  for (const [, name, value] of text.matchAll(/^CONFIG_(\w+)=(.*)$/gm)) options.set(name!, value!)
  return options
}

export function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}
