// Sets up all that building, testing and the demo need, each part only when it is missing: Debian packages, npm
// packages, the addon, the compiled program and its bundle, guest kernels. Plain JavaScript, since it runs first.
//
//   node scripts/setup.mjs [kernel flavour...]

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** What must be there, how to tell, and the Debian package that brings it; some only for kernels of that flavour. */
const NEEDS = [
  { what: 'g++', debianPackage: 'g++' },
  { what: 'make', debianPackage: 'make' },
  { what: 'python3', debianPackage: 'python3' },
  { what: 'strip', debianPackage: 'binutils' },
  { what: 'xz', debianPackage: 'xz-utils' },
  { what: 'zstd', debianPackage: 'zstd' },
  { what: 'git', debianPackage: 'git' },
  { what: 'cpio', debianPackage: 'cpio' },
  { what: 'fio', debianPackage: 'fio' },
  { what: 'script', debianPackage: 'bsdutils' },
  { what: 'newuidmap', debianPackage: 'uidmap' },
  { what: '/usr/sbin/sfdisk', debianPackage: 'fdisk' },
  { what: '/usr/sbin/mkfs.ext4', debianPackage: 'e2fsprogs' },
  { what: '/usr/sbin/mkfs.xfs', debianPackage: 'xfsprogs' },
  { what: '/usr/sbin/mkfs.btrfs', debianPackage: 'btrfs-progs' },
  { what: '/usr/sbin/mkfs.vfat', debianPackage: 'dosfstools' },
  { what: '/usr/sbin/mkfs.f2fs', debianPackage: 'f2fs-tools' },
  { what: 'mkfs.erofs', debianPackage: 'erofs-utils' },
  { what: 'mksquashfs', debianPackage: 'squashfs-tools' },
  { what: 'genisoimage', debianPackage: 'genisoimage' },
  { what: 'ssh', debianPackage: 'openssh-client' },
  { what: '/usr/sbin/sshd', debianPackage: 'openssh-server' },
  { what: 'qemu-system-x86_64', debianPackage: 'qemu-system-x86' },
  { what: 'qemu-system-aarch64', debianPackage: 'qemu-system-arm', flavour: 'arm64' },
  { what: 'aarch64-linux-gnu-g++', debianPackage: 'g++-aarch64-linux-gnu', flavour: 'arm64' },
  { what: '/usr/lib/qemu/virtiofsd', debianPackage: 'qemu-system-common' },
]

const FLAVOURS = process.argv.slice(2)

const say = text => process.stderr.write(`setup: ${text}\n`)

function give(lines) {
  for (const line of lines) say(line)
  process.exit(2)
}

function isThere(what) {
  const places = what.startsWith('/')
    ? [what]
    : (process.env.PATH ?? '').split(':').map(dir => join(dir || '.', what))
  return places.some(place => {
    try {
      accessSync(place, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  })
  if (status !== 0)
    give([`${[command, ...args].join(' ')} failed${error ? `: ${error.message}` : ` (exit code ${status})`}`])
}

function checkMachine() {
  const needs = NEEDS.filter(({ flavour }) => flavour === undefined || FLAVOURS.includes(flavour))
  const missing = needs.filter(({ what }) => !isThere(what))
  const packages = [...new Set(missing.map(need => need.debianPackage))]
  const isDebian = process.platform === 'linux' && existsSync('/etc/debian_version') && isThere('apt-get')
  const isRoot = process.getuid?.() === 0
  const lacks = []
  if (Number(process.versions.node.split('.')[0]) < 20)
    lacks.push(`Node 20 or later (this is ${process.version}): https://nodejs.org`)
  if (process.platform !== 'linux') lacks.push(`Linux (this is ${process.platform})`)
  if (!isRoot) lacks.push('root, for mounts, namespaces and virtiofsd: run it again with sudo')
  if (!isDebian || !isRoot) {
    for (const { what, debianPackage } of missing)
      lacks.push(`${what}: on Debian and its kin, apt-get install ${debianPackage}`)
    if (!isThere('apt-get'))
      lacks.push('apt-get and dpkg-deb, to fetch guest kernels: only Debian and its kin have them')
  }
  if (lacks.length > 0) give(['this machine lacks:', ...lacks.map(line => `  ${line}`)])
  if (packages.length === 0) return
  say(`installing Debian packages: ${packages.join(' ')}`)
  const env = { DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-qq'], env)
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], env)
}

function stamped(file, inputs, action) {
  const hash = createHash('sha256').update(process.version)
  for (const input of inputs) hash.update(readFileSync(join(ROOT, input)))
  const stamp = hash.digest('hex')
  const path = join(ROOT, file)
  if (existsSync(path) && readFileSync(path, 'utf8') === stamp) return
  action()
  writeFileSync(path, stamp)
}

/** Node's own headers when they are installed beside it, so that node-gyp need not download them. */
function headers() {
  const prefix = resolve(dirname(process.execPath), '..')
  return existsSync(join(prefix, 'include/node/node_api.h')) ? { npm_config_nodedir: prefix } : {}
}

function build() {
  const gyp = join(ROOT, 'node_modules/node-gyp/bin/node-gyp.js')
  stamped('node_modules/.installed', ['package-lock.json', '.taprc'], () => {
    say('installing npm packages')
    // Not `npm ci`: it refuses a lock file that lacks optional packages of other platforms, which not every
    // registry carries.
    run('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--loglevel=error'], headers())
    // The plug-ins that .taprc names; the one for TypeScript would check types in every test process.
    run('node', ['node_modules/.bin/tap', 'build'])
  })
  if (!existsSync(join(ROOT, 'build/Makefile'))) run('node', [gyp, 'configure', '--silent'], headers())
  say('building')
  run('node', [gyp, 'build', '--silent'], headers())
  run('node', ['node_modules/typescript/bin/tsc', '-p', '.'])
  run('node', ['scripts/bundle.mjs'])
}

async function fetchKernels(flavours) {
  if (flavours.length === 0) return
  const { fetchDebianKernel } = await import('../dist/qemu/index.js')
  for (const flavour of flavours) await fetchDebianKernel({ flavour, onProgress: say })
  if (!flavours.includes('arm64')) return
  const { foreignParts } = await import('../dist/qemu/foreign-parts.js')
  await foreignParts('aarch64', { onProgress: say })
}

checkMachine()
build()
await fetchKernels(FLAVOURS).catch(error =>
  give([error.remedy ? `${error.message} (${error.remedy})` : error.message]),
)
