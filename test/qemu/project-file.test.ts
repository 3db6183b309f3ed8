import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fileFlags } from '../../qemu/file-values.js'
import { machineOptions, RUN_FLAGS } from '../../qemu/flags.js'
import { findProject, resolveSettings, withProject } from '../../qemu/project-file.js'
import { parseFlags } from '../../src/cli/flags.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

const TEXT = `memory = 768
kernel = "arch/x86/boot/bzImage"
share = ["src=.", "out=build:ro,cache=always"]
boot-timeout = "90s"
fail-on-oops = false
fstab = "fstab"
accel = "tcg"
`

t.test('the nearest file upward, and not beyond the repository', async t => {
  const top = temporaryDirectory(t)
  const below = join(top, 'a/b')
  mkdirSync(below, { recursive: true })
  writeFileSync(join(top, 'cpu-vm.toml'), 'memory = 500\n')
  t.equal(findProject(RUN_FLAGS, below)?.file, join(top, 'cpu-vm.toml'))
  writeFileSync(join(top, 'a/cpu-vm.toml'), 'memory = 600\n')
  t.equal(findProject(RUN_FLAGS, below)?.values.get('memory')?.value, 600)
  mkdirSync(join(below, '.git'))
  t.equal(findProject(RUN_FLAGS, below), undefined)
})

t.test('none that somebody else has put in the way', async t => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'cpu-vm.toml')
  const refused = { name: 'UsageError', message: `${file} can be changed by others, or is theirs` }
  writeFileSync(file, 'memory = 500\n')
  chmodSync(directory, 0o1777)
  t.ok(findProject(RUN_FLAGS, directory), 'ours, where others may write')
  chownSync(file, 65534, 65534)
  t.throws(() => findProject(RUN_FLAGS, directory), refused)
  chmodSync(directory, 0o755)
  t.ok(findProject(RUN_FLAGS, directory), "theirs, where it is theirs: a CI's files seldom are ours")
  chmodSync(file, 0o666)
  t.throws(() => findProject(RUN_FLAGS, directory), refused)
})

t.test('flag before environment before file before default', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'cpu-vm.toml'), TEXT)
  const project = findProject(RUN_FLAGS, directory)
  const flags = parseFlags(RUN_FLAGS, ['-memory', '512', '-share', 'x=/y', 'command'])
  const place = (line: number) => `${join(directory, 'cpu-vm.toml')}:${line}`
  const environment = { CPU_FSTAB: 'a /b tmpfs' }
  const settings = resolveSettings(RUN_FLAGS, flags, project, environment)
  t.strictSame(settings.get('memory'), { value: 512, origin: { kind: 'flag' } })
  t.strictSame(settings.get('share'), { value: ['x=/y'], origin: { kind: 'flag' } })
  t.strictSame(settings.get('fstab')?.origin, { kind: 'environment', variable: 'CPU_FSTAB' })
  t.strictSame(settings.get('boot-timeout'), { value: 90_000, origin: { kind: 'file', place: place(4) } })
  t.strictSame(settings.get('net'), { value: 'auto', origin: { kind: 'default' } })
  t.strictSame(resolveSettings(RUN_FLAGS, flags, project, {}).get('fstab')?.value, join(directory, 'fstab'))
  t.strictSame(resolveSettings(RUN_FLAGS, flags, undefined, {}).get('boot-timeout')?.origin, {
    kind: 'default',
  })

  const merged = withProject(RUN_FLAGS, flags, project)
  t.strictSame(merged.operands, ['command'])
  t.equal(merged.values['fail-on-oops'], false)
})

t.test('paths are as seen from the file', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'cpu-vm.toml'), TEXT)
  const { values } = withProject(RUN_FLAGS, parseFlags(RUN_FLAGS, []), findProject(RUN_FLAGS, directory))
  const { kernel, shares, accel } = machineOptions(values)
  t.equal(kernel, join(directory, 'arch/x86/boot/bzImage'))
  t.strictSame(shares, [
    { tag: 'src', hostPath: directory, readOnly: false, cache: 'auto' },
    { tag: 'out', hostPath: join(directory, 'build'), readOnly: true, cache: 'always' },
  ])
  t.equal(accel, 'tcg')
})

t.test('no flag with a path was forgotten', async t => {
  for (const [name, { placeholder, located }] of Object.entries(fileFlags(RUN_FLAGS)))
    t.equal(located !== undefined, /FILE|DIR/.test(placeholder ?? ''), name)
})

t.test('mistakes are told with their place', async t => {
  const directory = temporaryDirectory(t)
  const file = join(directory, 'cpu-vm.toml')
  for (const [text, message, remedy] of [
    ['net = "tcp"\nmemroy = 3\n', `${file}:2: unknown key "memroy"`, 'did you mean memory?'],
    ['memory = "512"\n', `${file}:1: "memory" is not a whole number`, undefined],
    ['memory = 1\n', `${file}:1: invalid value "1" for flag -memory: less than 384`, undefined],
    ['timeout = 5\n', `${file}:1: "timeout" is not a string`, 'write it as "10s" or "1m30s"'],
    ['timeout = "5"\n', `${file}:1: invalid value "5" for flag -timeout: not a duration`, /10s/],
    ['share = "a=b"\n', `${file}:1: "share" is not a list of strings`, undefined],
    ['accel = "hvf"\n', /:1: invalid value "hvf" for flag -accel: not one of/, undefined],
    // What would make every run succeed without running, or is of one run alone.
    ['dry-run = true\n', `${file}:1: unknown key "dry-run"`, undefined],
    ['name = "v"\n', `${file}:1: unknown key "name"`, undefined],
  ] as const) {
    writeFileSync(file, text)
    t.throws(() => findProject(RUN_FLAGS, directory), {
      name: 'UsageError',
      message,
      ...(remedy && { remedy }),
    })
  }
})

t.test('every flag that a file may have is in cpu-vm config, with its origin', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'cpu-vm.toml'), 'memory = 768\ntimeout = "1m30s"\n')
  mkdirSync(join(directory, 'sub'))
  const env = { CPU_FSTAB: '' }
  const text = await cpuVm(['config'], { cwd: join(directory, 'sub'), env })
  t.equal(text.code, 0)
  const rows = text.stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => line.split(/ {2,}/))
  t.strictSame(
    rows.slice(1).map(([name]) => name),
    Object.keys(fileFlags(RUN_FLAGS)),
  )
  t.strictSame(
    rows.find(([name]) => name === 'memory'),
    ['memory', '768', '../cpu-vm.toml:1'],
  )
  t.strictSame(
    rows.find(([name]) => name === 'timeout'),
    ['timeout', '1m30s', '../cpu-vm.toml:2'],
  )
  t.strictSame(
    rows.find(([name]) => name === 'cpus'),
    ['cpus', '-', 'default'],
  )

  const json = await cpuVm(['config', '-json'], { cwd: directory, env })
  t.match(JSON.parse(json.stdout.toString()), {
    file: join(directory, 'cpu-vm.toml'),
    values: { memory: { value: 768, kind: 'file' }, cpus: { value: null, kind: 'default' } },
  })
})

t.test('-v tells which file is used, and run uses it', async t => {
  const directory = temporaryDirectory(t)
  writeFileSync(join(directory, 'cpu-vm.toml'), 'kernel = "./none"\n')
  const { code, stderr } = await cpuVm(['run', '-v', 'true'], { cwd: directory })
  t.not(code, 0)
  t.match(stderr, `defaults are from ${join(directory, 'cpu-vm.toml')}`)
  t.match(stderr, `no such kernel: ${join(directory, 'none')}`)

  writeFileSync(join(directory, 'cpu-vm.toml'), 'kernel = "6.1.0-none"\n')
  const release = await cpuVm(['run', 'true'], { cwd: directory })
  t.match(release.stderr, 'no kernel 6.1.0-none: no such file, nor in the cache or /boot')
})
