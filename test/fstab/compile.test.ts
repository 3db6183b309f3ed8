import t from 'tap'
import { compileFstab } from '../../src/fstab/compile.js'
import { parseFstab } from '../../src/fstab/parse.js'
import { formatPlan } from '../../src/namespace/format-plan.js'

const compile = (text: string, options = {}) => compileFstab(parseFstab(text).entries, options)

/** The plan of a text, as commands without their origin. */
const commands = (text: string): string[] =>
  formatPlan(compile(text).steps)
    .replaceAll(/ {2}# .*$/gm, '')
    .trimEnd()
    .split('\n')

const mkdirMnt = 'mkdir -p -m 0755 /mnt'

t.test('lines and the mounts they make', async t => {
  for (const [line, expected] of [
    ['myfs /mnt virtiofs rw 0 0', [mkdirMnt, 'mount -t virtiofs myfs /mnt']],
    ['myfs /mnt virtiofs', [mkdirMnt, 'mount -t virtiofs myfs /mnt']],
    ['myfs /mnt virtiofs ro,noatime', [mkdirMnt, 'mount -t virtiofs -o ro,noatime myfs /mnt']],
    [
      'tmpfs /mnt tmpfs nodev,size=10m,mode=1777',
      [mkdirMnt, 'mount -t tmpfs -o nodev,size=10m,mode=1777 tmpfs /mnt'],
    ],
    ['h /mnt 9p trans=virtio,msize=512000', [mkdirMnt, 'mount -t 9p -o trans=virtio,msize=512000 h /mnt']],
    // binds
    ['/tmp/cpu/lib /mnt none defaults,bind 0 0', [mkdirMnt, 'mount --bind /tmp/cpu/lib /mnt']],
    ['/a /mnt none rbind', [mkdirMnt, 'mount --rbind /a /mnt']],
    [
      '/a /mnt none bind,ro,nosuid',
      [mkdirMnt, 'mount --bind /a /mnt', 'mount -o ro,nosuid,remount,bind /mnt'],
    ],
    ['/a /mnt none bind,ro,rw', [mkdirMnt, 'mount --bind /a /mnt']],
    // a read-only bind of the user's files does not lose the flags of their mount
    [
      '/tmp/cpu/home /mnt none bind,ro',
      [mkdirMnt, 'mount --bind /tmp/cpu/home /mnt', 'mount -o ro,nosuid,nodev,remount,bind /mnt'],
    ],
    [
      '/tmp/cpu/home /mnt none bind,ro,suid,dev',
      [mkdirMnt, 'mount --bind /tmp/cpu/home /mnt', 'mount -o ro,remount,bind /mnt'],
    ],
    ['/a /mnt none bind,x-cpu.file', ['touch /mnt', 'mount --bind /a /mnt']],
    // propagation is a call of its own
    ['t /mnt tmpfs private', [mkdirMnt, 'mount -t tmpfs t /mnt', 'mount --make-private /mnt']],
    [
      '/a /mnt none rbind,rslave,shared',
      [mkdirMnt, 'mount --rbind /a /mnt', 'mount --make-rslave /mnt', 'mount --make-shared /mnt'],
    ],
    ['none /mnt none runbindable', ['mount --make-runbindable /mnt']],
    // changes of what is mounted already
    ['none /mnt none remount,ro', ['mount -o ro,remount /mnt']],
    ['none /mnt none remount,bind,ro', ['mount -o ro,remount,bind /mnt']],
    ['tmpfs /mnt tmpfs remount,size=1g', ['mount -o remount,size=1g /mnt']],
    ['/a /mnt none move', [mkdirMnt, 'mount --move /a /mnt']],
    // what is for mount(8) itself
    [
      't /mnt tmpfs auto,_netdev,x-systemd.automount,comment=a,X-y,size=1m',
      [mkdirMnt, 'mount -t tmpfs -o size=1m t /mnt'],
    ],
    ['t /mnt tmpfs user', [mkdirMnt, 'mount -t tmpfs -o nosuid,nodev,noexec t /mnt']],
    ['t /mnt tmpfs user,exec', [mkdirMnt, 'mount -t tmpfs -o nosuid,nodev t /mnt']],
    ['t /mnt tmpfs owner', [mkdirMnt, 'mount -t tmpfs -o nosuid,nodev t /mnt']],
    ['t /mnt tmpfs X-mount.mkdir', [mkdirMnt, 'mount -t tmpfs t /mnt']],
    ['t /mnt tmpfs X-mount.mkdir=0700', ['mkdir -p -m 0700 /mnt', 'mount -t tmpfs t /mnt']],
    ['t /mnt ext4 X-mount.subdir=/a/b', [mkdirMnt, 'mount -t ext4 t /mnt', 'mount --bind /mnt/a/b /mnt']],
    // devices by tag, and types, that only the machine itself can know
    ['UUID=1234-ABCD /mnt vfat', [mkdirMnt, 'mount -t vfat UUID=1234-ABCD /mnt']],
    ['LABEL=my\\040disk/2 /mnt auto', [mkdirMnt, `mount -t auto 'LABEL=my disk/2' /mnt`]],
    ['/dev/vda1 /mnt ext4,xfs', [mkdirMnt, 'mount -t ext4,xfs /dev/vda1 /mnt']],
    // names are quoted for a shell
    ['/a\\040b /c\\040d none bind', [`mkdir -p -m 0755 '/c d'`, `mount --bind '/a b' '/c d'`]],
    // lines that are not for mounting
    ['/dev/vda2 none swap sw', ['']],
    ['/dev/vda2 swap swap', ['']],
    ['t /mnt tmpfs noauto', ['']],
    ['t /mnt ignore', ['']],
    ['t none tmpfs', ['']],
  ] as const) {
    t.same(commands(line), expected, line)
    t.same(compile(line).problems, [], `${line}: nothing to say`)
  }
})

t.test('mount(2) gets what mount(8) would give it', async t => {
  t.same(compile('tmpfs /mnt tmpfs ro,nofail,size=1m').steps, [
    { op: 'mkdir', path: '/mnt', mode: 0o755, onFailure: 'ignore', origin: 'fstab:1' },
    {
      op: 'mount',
      source: 'tmpfs',
      target: '/mnt',
      type: 'tmpfs',
      flags: 1,
      data: 'size=1m',
      onFailure: 'ignore',
      origin: 'fstab:1',
    },
  ])
  t.same(
    compile('/a /mnt none bind,ro').steps.map(step => step.op === 'mount' && [step.type, step.flags]),
    [false, ['', 4096], ['', 4096 | 32 | 1]],
  )
})

t.test('a failure is reported, ignored with nofail, the end with strict', async t => {
  const outcome = (options: string, strict: boolean) =>
    compile(`t /mnt tmpfs ${options}`, { strict }).steps.map(step => step.onFailure)
  t.same(outcome('rw', false), ['report', 'report'])
  t.same(outcome('nofail', false), ['ignore', 'ignore'])
  t.same(outcome('rw', true), ['abort', 'abort'])
  t.same(outcome('nofail', true), ['ignore', 'ignore'])
})

t.test('lines that cannot be mounted say why and make no step', async t => {
  for (const [line, message] of [
    [
      '/disk.img /mnt ext4 loop,ro',
      'option "loop" is not supported: no loop devices are set up here (run losetup and name its device)',
    ],
    ['t mnt tmpfs', 'mount point "mnt" is not an absolute path'],
    ['/a /mnt bind', 'type bind does not exist (write type none and option bind)'],
    ['/a /mnt none ro', 'type none needs the option bind, rbind, move or remount'],
    ['/a /mnt none bnid', 'type none needs the option bind, rbind, move or remount (did you mean "bind"?)'],
    ['t /mnt tmpfs X-mount.mkdir=rwx', 'X-mount.mkdir=rwx: not an octal mode (such as 0755)'],
    ['t /mnt ext4 X-mount.subdir=a/../..', 'X-mount.subdir leads out of the file system'],
  ] as const)
    t.same(
      compile(line),
      { steps: [], problems: [{ severity: 'error', message: `fstab:1: ${message}` }] },
      line,
    )
})

t.test('what is odd is said, and mounted all the same', async t => {
  for (const [line, ...messages] of [
    ['/a /mnt none bind,nosiud', 'fstab:1: unknown option "nosiud" (did you mean "nosuid"?)'],
    ['/a /mnt none bind,size=1m,zz', 'fstab:1: unknown option "size=1m"', 'fstab:1: unknown option "zz"'],
    ['t /mnt ext4 X-mount.idmap=b', 'fstab:1: option "X-mount.idmap=b" is not supported and ignored'],
  ] as const) {
    const { steps, problems } = compile(line)
    t.same(
      problems,
      messages.map(message => ({ severity: 'warning', message })),
      line,
    )
    t.ok(steps.length > 1, line)
  }
})
