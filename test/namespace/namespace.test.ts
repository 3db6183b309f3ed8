import t from 'tap'
import { UsageError } from '../../src/errors.js'
import { namespaceFstab } from '../../src/namespace/namespace-fstab.js'
import { parseNamespace } from '../../src/namespace/parse-namespace.js'

const brief = (text: string | undefined): string =>
  parseNamespace(text)
    .map(({ remotePath, localPath, isDefault }) => `${remotePath}=${localPath}${isDefault ? '?' : ''}`)
    .join(' ')

const defaults = '/lib=/lib? /lib64=/lib64? /usr=/usr? /bin=/bin? /etc=/etc? /home=/home?'

t.test('what -namespace says', async t => {
  for (const [text, expected] of [
    [undefined, defaults],
    ['+', defaults],
    ['+/work:/a=/b', `${defaults} /work=/work /a=/b`],
    ['', ''],
    ['none', ''],
    ['/usr', '/usr=/usr'],
    ['/lib:/usr/', '/lib=/lib /usr=/usr'],
    ['/bin=/home/me/arm/bin', '/bin=/home/me/arm/bin'],
    ['/a=/b=c', '/a=/b=c'],
    ['/a/../b//c', '/b/c=/b/c'],
    ['/tmp/x', '/tmp/x=/tmp/x'],
    ['/all=/', '/all=/'],
  ] as const)
    t.equal(brief(text), expected, text ?? 'not given')
})

t.test('where ssh_config has another default for the host', async t => {
  const told = (text: string | undefined, defaultText: string) =>
    parseNamespace(text, defaultText).map(({ remotePath, isDefault }) => remotePath + (isDefault ? '?' : ''))
  t.same(told(undefined, '/home:/opt'), ['/home?', '/opt?'])
  t.same(told('+/work', '/home'), ['/home?', '/work'])
  t.same(told('/usr', '/home'), ['/usr'])
  t.same(told('+/work', 'none'), ['/work'])
  t.throws(() => told(undefined, 'home'), UsageError)
})

t.test('what it cannot say', async t => {
  for (const [text, message] of [
    ['/a::/b', 'invalid -namespace: empty element'],
    ['/a:', 'invalid -namespace: empty element'],
    ['usr', 'invalid -namespace: "usr": not an absolute path'],
    ['/usr=usr', 'invalid -namespace: "/usr=usr": not an absolute path'],
    ['=/usr', 'invalid -namespace: "=/usr": not an absolute path'],
    ['/a:none', 'invalid -namespace: "none": not an absolute path'],
    ['/', 'invalid -namespace: "/": a bind on / hides the mount it comes from'],
    ['/tmp=/x', 'invalid -namespace: "/tmp=/x": a bind on /tmp hides the mount it comes from'],
    ['/tmp/cpu/x', 'invalid -namespace: "/tmp/cpu/x": a bind on /tmp/cpu/x hides the mount it comes from'],
  ] as const)
    t.throws(() => parseNamespace(text), { constructor: UsageError, message }, text)
})

interface Case {
  readonly namespace?: string
  readonly directory?: string
  readonly user?: string
  readonly missing?: readonly string[]
  readonly links?: Readonly<Record<string, string>>
}

const fstabOf = ({ namespace, directory, user, missing = [], links = {} }: Case): string =>
  namespaceFstab({
    bindings: parseNamespace(namespace),
    workingDirectory: directory === undefined ? undefined : { remotePath: directory, localPath: directory },
    ...(user === undefined ? {} : { userFstab: user }),
    isFile: exported => exported.endsWith('.conf'),
    locate: localPath => (missing.includes(localPath) ? undefined : (links[localPath] ?? localPath)),
  })

t.test('the fstab that is sent', async t => {
  t.equal(
    fstabOf({}),
    `#line 1 namespace
/tmp/cpu/lib /lib none defaults,bind 0 0
/tmp/cpu/lib64 /lib64 none defaults,bind 0 0
/tmp/cpu/usr /usr none defaults,bind 0 0
/tmp/cpu/bin /bin none defaults,bind 0 0
/tmp/cpu/etc /etc none defaults,bind 0 0
/tmp/cpu/home /home none defaults,bind 0 0
`,
  )
  t.equal(
    fstabOf({ namespace: '/bin=/home/me/my arm/bin', user: '# mine\nmyfs /mnt virtiofs' }),
    `#line 1 namespace
/tmp/cpu/home/me/my\\040arm/bin /bin none defaults,bind 0 0
#line 1 fstab
# mine
myfs /mnt virtiofs`,
  )
  t.equal(fstabOf({ namespace: 'none', user: 'myfs /mnt virtiofs rw 0 0' }), 'myfs /mnt virtiofs rw 0 0')
  t.equal(fstabOf({ namespace: 'none' }), '')
})

t.test('links are followed here, not there', async t => {
  t.equal(
    fstabOf({ namespace: '/lib:/home', links: { '/lib': '/usr/lib', '/home': '/data/home' } }),
    `#line 1 namespace
/tmp/cpu/usr/lib /lib none defaults,bind 0 0
/tmp/cpu/data/home /home none defaults,bind 0 0
`,
  )
})

t.test('a file is bound on a file', async t => {
  t.equal(
    fstabOf({ namespace: '/etc/x=/home/me/x.conf' }),
    '#line 1 namespace\n/tmp/cpu/home/me/x.conf /etc/x none defaults,bind,x-cpu.file 0 0\n',
  )
})

t.test('directories that are not there', async t => {
  t.notMatch(fstabOf({ missing: ['/lib64'] }), /lib64/)
  t.throws(() => fstabOf({ namespace: '+/work', missing: ['/work'] }), {
    constructor: UsageError,
    message: 'invalid -namespace: /work does not exist here',
  })
  t.throws(() => fstabOf({ namespace: '/lib64', missing: ['/lib64'] }), { message: /lib64 does not exist/ })
})

t.test('the working directory is reachable', async t => {
  const bindOf = (directory: string, namespace = '/usr:/srv=/data') =>
    fstabOf({ directory, namespace })
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .slice(namespace.split(':').length)
  for (const directory of ['/tmp/foo/bar', '/root/x', '/work/y', '/usrx', '/srv/x', '/data'])
    t.same(bindOf(directory), [`/tmp/cpu${directory} ${directory} none defaults,bind 0 0`], directory)
  for (const directory of [
    '/usr',
    '/usr/src',
    '/',
    '/tmp',
    '/proc/1',
    '/sys',
    '/dev/shm',
    '/tmp/cpu/x',
    '/tmp/local',
  ])
    t.same(bindOf(directory), [], directory)
  // seen at its own path it is another directory, unless a later binding puts it there
  t.same(bindOf('/usr/lib', '/usr=/opt:/usr/lib'), [])
  t.same(bindOf('/a/b', '/a:/a/b=/c'), ['/tmp/cpu/a/b /a/b none defaults,bind 0 0'])
})
