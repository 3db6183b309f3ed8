// -namespace, -fstab and CPU_FSTAB on a real kernel, with a virtiofs share.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { packageRoot } from '../../src/version.js'
import { type CommandOptions, collect, cpu, startCpu } from '../fixtures/cpu-command.js'
import { blkid, formatImage, makeDisk, partx } from '../fixtures/disk-image.js'
import { guestForFile } from '../fixtures/guest.js'

/** Made below /tmp, which a session has of its own, whatever TMPDIR says. */
function directory(test: Pick<Test, 'teardown'>, files: Record<string, string> = {}): string {
  const made = fs.mkdtempSync('/tmp/fstab-')
  test.teardown(() => fs.rmSync(made, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(made, name)), { recursive: true })
    fs.writeFileSync(path.join(made, name), text)
  }
  return made
}

const share = directory(t, { 'on-the-share': 'shared', 'deep/er': '' })
const source = path.join(packageRoot(), 'test/fixtures/files-show.c')
await promisify(execFile)('gcc', ['-static', '-o', path.join(share, 'show'), source])
const images = directory(t)
const image = (name: string) => path.join(images, name)
const ext4 = formatImage(image('ext4'), 8, ['mkfs.ext4', '-q', '-L', 'data'])
const vfat = formatImage(image('vfat'), 2, ['mkfs.vfat'])
const twin = formatImage(image('twin'), 2, ['mkfs.ext2', '-q', '-L', 'twin\x1b[2J'])
const gpt = makeDisk(image('gpt'), 'gpt', [
  { name: 'root', content: ext4 },
  { name: 'boot part', content: vfat },
])
const mbr = makeDisk(image('mbr'), 'dos', [{ content: twin }])
const guest = await guestForFile({
  name: 'fstab',
  shares: [{ tag: 'myfs', hostPath: share }],
  disks: [gpt, mbr, twin].map(hostPath => ({ hostPath, format: 'raw', readOnly: false, snapshot: true })),
  extraModules: ['ext4', 'vfat', 'nls_cp437', 'nls_ascii'],
})

interface Options extends CommandOptions {
  readonly flags?: string[]
  /** -fstab; CPU_FSTAB is in the environment. */
  readonly fstab?: string
}

/** What a command there says and ends with, to be compared at once. */
async function run(t: Test, command: readonly string[], { fstab, flags = [], ...options }: Options = {}) {
  const file = fstab === undefined ? [] : ['-fstab', path.join(directory(t, { fstab }), 'fstab')]
  const { code, stdout, stderr } = await cpu(guest, command, { ...options, flags: [...flags, ...file] })
  return { code, stdout: stdout.toString().split('\n').slice(0, -1), stderr: stderr.split('\n').slice(0, -1) }
}

const MYFS = 'myfs /mnt virtiofs rw 0 0'
const ON_THE_SHARE = ['deep', 'on-the-share', 'show']

t.test('CPU_FSTAB="myfs /mnt virtiofs rw 0 0" cpu v ls /mnt', async t => {
  const result = await run(t, ['ls', '/mnt'], { env: { CPU_FSTAB: MYFS } })
  t.same(result, { code: 0, stdout: ON_THE_SHARE, stderr: [] })
  await run(t, ['sh', '-c', 'echo there > /mnt/written'], { env: { CPU_FSTAB: MYFS } })
  t.equal(fs.readFileSync(path.join(share, 'written'), 'utf8'), 'there\n')
  fs.rmSync(path.join(share, 'written'))
})

t.test('-fstab wins over CPU_FSTAB, and either is added to the binds', async t => {
  const cwd = directory(t, { mine: '' })
  const result = await run(t, ['sh', '-c', 'ls /mnt; ls; test ! -e /mnt/variable && test -x /usr/bin/env'], {
    cwd,
    fstab: `${MYFS}\n`,
    env: { CPU_FSTAB: 'myfs /mnt/variable virtiofs' },
  })
  t.same(result, { code: 0, stdout: [...ON_THE_SHARE, 'mine'], stderr: [] })
})

t.test('what lines can say', async t => {
  const cwd = directory(t, { 'fixed/file': 'fixed', 'real/below': '', name: 'another name', 'home/user': '' })
  fs.symlinkSync('real', path.join(cwd, 'link'))
  const fstab = `
# three fields
myfs /mnt/three virtiofs
myfs\t/mnt/with\\040space\t  virtiofs   rw  0 0
myfs /mnt/async virtiofs async
tmpfs /mnt/asynchronous tmpfs async,size=1m
tmpfs /mnt/synchronous tmpfs sync,nosuid,nodev,noexec,mode=700
/tmp/cpu${cwd}/fixed /mnt/fixed none bind,ro
myfs ${cwd}/link virtiofs
/tmp/cpu${cwd}/name /etc/hostname none bind
/tmp/cpu${cwd}/home /home none bind
/dev/sda9 /mnt/not-now ext4 noauto
nothing /mnt/may-fail nosuchfs nofail
UUID=not-there none swap
myfs /mnt/sub virtiofs X-mount.subdir=deep`
  const script = `
    for directory in three 'with space' async synchronous asynchronous; do touch "/mnt/$directory/$directory" || exit 1; done
    ls /mnt/three link/ /mnt/sub /home
    cat /mnt/fixed/file /etc/hostname && echo
    touch /mnt/fixed/file
    stat -c %a /mnt/synchronous
    grep -E '^[a-z0-9]+ (/mnt|${cwd}/)' /proc/mounts | cut -d' ' -f2-4 | grep -v ' fuse '
    exit 5`
  const { code, stdout, stderr } = await run(t, ['sh', '-c', script], { cwd, fstab })
  const shared = ['async', 'deep', 'on-the-share', 'show', 'three', 'with space']
  t.equal(code, 5)
  t.same(stderr, ["touch: cannot touch '/mnt/fixed/file': Read-only file system"])
  t.same(stdout.slice(0, stdout.indexOf('700')), [
    ...['/home:', 'user', '', '/mnt/sub:', 'er', '', '/mnt/three:', ...shared, '', 'link/:', ...shared],
    'fixedanother name',
  ])
  const mounts = stdout.slice(stdout.indexOf('700') + 1)
  t.same(
    mounts.filter(line => line.includes('virtiofs')),
    [
      '/mnt/three virtiofs rw,relatime',
      '/mnt/with\\040space virtiofs rw,relatime',
      '/mnt/async virtiofs rw,relatime',
      `${cwd}/real virtiofs rw,relatime`,
      '/mnt/sub virtiofs rw,relatime',
      '/mnt/sub virtiofs rw,relatime',
    ],
  )
  t.match(
    mounts.find(line => line.startsWith('/mnt/asynchronous ')),
    /^\S+ tmpfs rw,relatime,size=1024k/,
  )
  t.match(
    mounts.find(line => line.startsWith('/mnt/synchronous ')),
    /^\S+ tmpfs rw,sync,nosuid,nodev,noexec,.*mode=700/,
  )
  for (const name of ['async', 'three', 'with space']) fs.rmSync(path.join(share, name))
})

t.test(
  "a line that is wrong is named by its number in the user's own file, and the session goes on",
  async t => {
    const fstab = `# first
too few
${MYFS}
myfs relative virtiofs
myfs /mnt/x virtiofs rw 0 zero
myfs /mnt/y\\04 virtiofs
/tmp/cpu/usr /mnt/z none bnd`
    const expected = {
      code: 3,
      stdout: ON_THE_SHARE,
      stderr: [
        'cpud: fstab:2: too few fields: 2 of at least 3 (source, mount point, type)',
        'cpud: fstab:5: field 6 (fsck pass) is not a number: "zero"',
        'cpud: fstab:6: bad escape in "/mnt/y\\\\04" (three octal digits, such as \\040)',
        'cpud: fstab:4: mount point "relative" is not an absolute path',
        'cpud: fstab:7: type none needs the option bind, rbind, move or remount (did you mean "bind"?)',
      ],
    }
    const command = ['sh', '-c', 'ls /mnt; exit 3']
    t.same(await run(t, command, { fstab }), expected)
    t.same(await run(t, command, { env: { CPU_FSTAB: fstab } }), expected, 'in the variable as well')
  },
)

t.test('a mount that fails is named, and the session goes on', async t => {
  const cwd = directory(t)
  fs.symlinkSync('nowhere', path.join(cwd, 'dangling'))
  const fstab = `
x /mnt/type nosuchfs
notag /mnt/tag virtiofs
tmpfs /mnt/option tmpfs nosuchoption=1
/tmp/cpu/no/such /mnt/source none bind,ro
myfs ${cwd}/dangling virtiofs
myfs /etc/hostname virtiofs
${MYFS}`
  const result = await run(t, ['sh', '-c', 'ls /mnt; exit 3'], { cwd, fstab })
  t.same(result, {
    code: 3,
    stdout: ON_THE_SHARE,
    stderr: [
      'cpud: fstab:2: ENODEV: no such device, mount x on /mnt/type type nosuchfs',
      'cpud: fstab:3: EINVAL: invalid argument, mount notag on /mnt/tag type virtiofs',
      'cpud: fstab:4: EINVAL: invalid argument, mount tmpfs on /mnt/option type tmpfs',
      'cpud: fstab:5: ENOENT: no such file or directory, mount /tmp/cpu/no/such on /mnt/source',
      `cpud: fstab:6: ENOENT: no such file or directory, mkdir ${cwd}/dangling`,
      'cpud: fstab:7: ENOTDIR: not a directory, mount myfs on /etc/hostname type virtiofs',
    ],
  })
})

t.test('devices by their tags, and types by what is on them, where no udev runs', async t => {
  const root = partx(gpt).get(1)
  const fstab = `
UUID=${blkid(ext4).uuid} /mnt/uuid ext4 ro
LABEL="data" /mnt/label auto ro
PARTUUID=${root?.partUuid?.toUpperCase()} /mnt/partuuid xfs,ext4 ro
PARTLABEL=boot\\040part /mnt/partlabel auto
PARTUUID=${partx(mbr).get(1)?.partUuid} /mnt/mbr auto
/dev/vdc /mnt/path auto
LABEL=nowhere /mnt/none auto
LABEL=nowhere /mnt/none auto nofail
LABEL=twin\\033[2J /mnt/none ext2
/dev/vda /mnt/none auto
/dev/vdc /mnt/none xfs,vfat
/dev/null /mnt/none auto`
  const script = 'grep ^/dev/vd /proc/mounts | cut -d" " -f1-3; test ! -e /mnt/none'
  const { code, stdout, stderr } = await run(t, ['sh', '-c', script], { fstab })
  t.same(stdout, [
    '/dev/vda1 /mnt/uuid ext4',
    '/dev/vda1 /mnt/label ext4',
    '/dev/vda1 /mnt/partuuid ext4',
    '/dev/vda2 /mnt/partlabel vfat',
    '/dev/vdb1 /mnt/mbr ext2',
    '/dev/vdc /mnt/path ext2',
  ])
  const [nowhere = '', ...others] = stderr
  const seen = [
    `/dev/vda1 ext4 UUID="${blkid(ext4).uuid}" LABEL="data" PARTUUID="${root?.partUuid}" PARTLABEL="root"`,
    `/dev/vda2 vfat UUID="${blkid(vfat).uuid}" PARTUUID="${partx(gpt).get(2)?.partUuid}" PARTLABEL="boot part"`,
    `/dev/vdb1 ext2 UUID="${blkid(twin).uuid}" LABEL="twin\\u001b[2J" PARTUUID="${partx(mbr).get(1)?.partUuid}"`,
    `/dev/vdc ext2 UUID="${blkid(twin).uuid}" LABEL="twin\\u001b[2J"`,
  ]
  t.equal(nowhere, `cpud: fstab:8: no device has LABEL="nowhere" (there is ${seen.join(', ')})`)
  t.same(others, [
    'cpud: fstab:10: LABEL="twin\\u001b[2J" is on /dev/vdb1 and /dev/vdc (name one of them instead)',
    'cpud: fstab:11: type auto: /dev/vda has no file system that is known (name the file system type)',
    'cpud: fstab:12: type xfs,vfat: /dev/vdc has ext2 (name the file system type)',
    'cpud: fstab:13: type auto: ENOTBLK: block device required, open /dev/null (name the file system type)',
  ])
  t.equal(code, 0)
  // as udev would choose, and name it
  const link = "/dev/disk/by-label/twin'\\x1b\\x5b2J'"
  await run(t, ['sh', '-c', `mkdir -p /dev/disk/by-label; ln -s ../../vdc ${link}`])
  const linked = await run(t, ['grep', ' /mnt ', '/proc/mounts'], { fstab: 'LABEL=twin\\033[2J /mnt auto' })
  t.match(linked, { code: 0, stdout: [/^\/dev\/vdc \/mnt ext2 /], stderr: [] })
  const strict = await run(t, ['true'], { fstab: 'LABEL=nowhere /mnt auto\n', flags: ['-fstab-strict'] })
  t.equal(strict.code, 255)
  t.match(strict.stderr, [
    /^cpud: fstab:1: no device has LABEL="nowhere"/,
    /the fstab has errors, so nothing was run/,
  ])
})

t.test("mounts are the session's own, and gone with it", async t => {
  const first = startCpu(guest, ['sh', '-c', 'ls /mnt; cat'], { env: { CPU_FSTAB: MYFS } })
  const ended = collect(first)
  await Promise.race([once(first.stdout!, 'data'), ended])
  const outside = ['sh', '-c', "ls /mnt; cat /proc/1/mounts; grep -v ' /tmp/local' /proc/mounts"]
  const during = await run(t, outside)
  t.equal(during.code, 0)
  t.notOk(during.stdout.some(line => line.includes('virtiofs') || line.includes('on-the-share')))
  t.equal(during.stdout.filter(line => line.startsWith('cpu /tmp/cpu fuse')).length, 1, 'its own files')
  first.stdin!.end()
  t.same((await ended).stdout.toString(), `${ON_THE_SHARE.join('\n')}\n`)
  const after = await run(t, ['cat', '/proc/1/mounts'])
  t.same(
    after.stdout.filter(line => /virtiofs|fuse /.test(line)),
    [],
  )
})

/** An example's text, for a user whose root directory for chroot is the whole of his files. */
function example(name: string): string {
  const text = fs.readFileSync(path.join(packageRoot(), 'fstab.examples', `${name}.fstab`), 'utf8')
  return text.replace('/tmp/cpu/srv/debian', '/tmp/cpu')
}

t.test('fstab.examples', async t => {
  t.test('virtiofs', async t => {
    const result = await run(t, ['ls', '/mnt'], { fstab: example('virtiofs') })
    t.same(result, { code: 0, stdout: ON_THE_SHARE, stderr: [] })
  })

  t.test('tmpfs-scratch', async t => {
    const script =
      'df --output=size -m /scratch | tail -1; stat -c %a /scratch; touch /scratch/file; ls /scratch'
    const result = await run(t, ['sh', '-c', script], { fstab: example('tmpfs-scratch') })
    t.same(result, { code: 0, stdout: ['      512', '1777', 'file'], stderr: [] })
    const next = await run(t, ['ls', '/scratch'], { fstab: example('tmpfs-scratch') })
    t.same(next.stdout, [], 'it is empty for the next session')
  })

  t.test('overlay-on-virtiofs', async t => {
    const script =
      'cd /mnt; echo changed > on-the-share; rm -r deep; mkdir new; cat on-the-share; ls; touch /tmp/lower/x'
    const result = await run(t, ['sh', '-c', script], { fstab: example('overlay-on-virtiofs') })
    t.same(result, {
      code: 1,
      stdout: ['changed', 'new', 'on-the-share', 'show'],
      stderr: ["touch: cannot touch '/tmp/lower/x': Read-only file system"],
    })
    t.same(fs.readdirSync(share).sort(), ON_THE_SHARE)
    t.equal(fs.readFileSync(path.join(share, 'on-the-share'), 'utf8'), 'shared')
  })

  t.test('home-only', async t => {
    const show = path.join(share, 'show')
    const options = { cwd: share, fstab: example('home-only'), flags: ['-namespace', 'none'] }
    const { code, stdout, stderr } = await run(t, [`/tmp/cpu${show}`, '/home', '/usr'], options)
    const home = fs
      .readdirSync('/home')
      .filter(name => !name.startsWith('.'))
      .sort()
    t.same([code, stderr], [0, []])
    t.same(stdout, [`in /tmp/cpu${share}`, ['/home:', ...home].join(' '), '/usr:'])
  })

  t.test('chroot-foreign-root', async t => {
    const script =
      'ls -d /usr/bin; cat /proc/sys/kernel/ostype; test -c /dev/null && ls /dev/pts /tmp; touch /tmp/x && cut -d" " -f2,3 /proc/mounts'
    const { code, stdout, stderr } = await run(t, ['chroot', '/tmp/root', '/bin/sh', '-c', script], {
      fstab: example('chroot-foreign-root'),
    })
    t.same([code, stderr], [0, []])
    t.same(stdout.slice(0, 6), ['/usr/bin', 'Linux', '/dev/pts:', 'ptmx', '', '/tmp:'])
    for (const mount of ['/ fuse', '/proc proc', '/sys sysfs', '/dev/pts devpts', '/tmp tmpfs'])
      t.ok(stdout.includes(mount), mount)
  })

  t.test('disk', async t => {
    const result = await run(t, ['ls', '/data'], { fstab: example('disk') })
    t.same(result, { code: 0, stdout: ['lost+found'], stderr: [] })
  })

  t.test('nfs, of which this guest has none', async t => {
    const result = await run(t, ['echo', 'on'], { fstab: example('nfs') })
    t.same(result, { code: 0, stdout: ['on'], stderr: [] })
  })
})

t.test('-namespace', async t => {
  const cwd = directory(t, { 'opt/tool': '', 'etc/name': 'mine\n' })
  const inside = async (namespace: string, script: string) => {
    const { code, stdout, stderr } = await run(t, ['sh', '-c', script], {
      cwd,
      flags: ['-namespace', namespace],
    })
    t.same([code, stderr], [0, []], namespace)
    return stdout
  }
  t.same(
    await inside(`+/opt/mine=${cwd}/opt`, 'ls /opt/mine; ls opt; pwd'),
    ['tool', 'tool', cwd],
    'added to the default',
  )
  t.same(await inside(`+${share}`, `ls ${share}`), ON_THE_SHARE)
  t.same(
    await inside(`/lib:/lib64:/usr:/bin:/etc=${cwd}/etc`, 'cat /etc/name; ls /home'),
    ['mine'],
    'in its place',
  )
  for (const [namespace, message] of [
    ['/no/such/directory', /^cpu: invalid -namespace: \/no\/such\/directory does not exist here/],
    ['relative', /^cpu: invalid -namespace: "relative": not an absolute path/],
    ['/tmp', /^cpu: invalid -namespace: "\/tmp": a bind on \/tmp hides/],
  ] as const) {
    const { code, stderr } = await run(t, ['true'], { flags: ['-namespace', namespace] })
    t.equal(code, 2)
    t.match(stderr[0], message)
  }
})

t.test('files by 9P or not, bound or not, fstab or not', async t => {
  const show = path.join(share, 'show')
  const looks = ['/share', '/usr/bin', '/tmp/cpu']
  /** What a session has at each of these places: something, nothing, or not even a directory. */
  async function seen(program: string, options: Options) {
    const { code, stdout, stderr } = await run(t, [program, ...looks], { cwd: share, ...options })
    t.same([code, stderr], [0, []])
    const found = stdout
      .slice(1)
      .map(line => (line.endsWith(' -') ? 'absent' : line.endsWith(':') ? 'empty' : 'full'))
    return [stdout[0], ...found]
  }
  const fstab = 'myfs /share virtiofs'
  const unbound = ['-namespace', 'none']
  t.same(await seen(show, {}), [`in ${share}`, 'absent', 'full', 'full'], '9P, bound')
  t.same(
    await seen('./show', { flags: unbound }),
    [`in /tmp/cpu${share}`, 'absent', 'absent', 'full'],
    '9P alone',
  )
  const lists = `console.log(process.cwd())
    for (const path of process.argv.slice(1)) console.log(fs.existsSync(path))`
  const neither = await run(t, ['/cpu-harness/node', '-e', lists, ...looks], {
    cwd: share,
    flags: ['-9p=false'],
    env: { NODE_EXTRA_CA_CERTS: '' },
  })
  t.same(neither, { code: 0, stdout: ['/', 'false', 'false', 'false'], stderr: [] }, 'neither')
  t.same(await seen(show, { fstab }), [`in ${share}`, 'full', 'full', 'full'], '9P, bound, and fstab')
  t.same(
    await seen('/share/show', { flags: ['-9p=false'], fstab }),
    ['in /', 'full', 'absent', 'empty'],
    'fstab alone',
  )
})
