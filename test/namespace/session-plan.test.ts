import t from 'tap'
import { formatPlan } from '../../src/namespace/format-plan.js'
import { sessionPlan } from '../../src/namespace/session-plan.js'

const release = '6.12.0'
const base = `mkdir -p -m 1777 /tmp  # session
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /tmp  # session
mkdir -p -m 0755 /tmp/cpu  # session
mkdir -p -m 0755 /tmp/local  # session
mkdir -p -m 0755 /tmp/merge  # session
mkdir -p -m 0755 /tmp/root  # session
mount --rbind / /tmp/local  # session
`
const files = `mount -t 9p -o nosuid,nodev,version=9p2000.L,trans=fd,rfdno=%9P%,wfdno=%9P%,uname=root,msize=1048576,access=any,noxattr,cache=mmap cpu /tmp/cpu  # 9p
`
const mnt = `mkdir -p -m 0755 /mnt  # fstab:1
mount -t virtiofs myfs /mnt  # fstab:1
`
const fstabText = 'myfs /mnt virtiofs rw 0 0\n'

t.test('the combinations of files and fstab', async t => {
  for (const [what, options, expected] of [
    ['files and fstab', { files: '9p' as const, fstabText }, base + files + mnt],
    ['files', { files: '9p' as const, fstabText: '' }, base + files],
    ['fstab', { files: undefined, fstabText }, base + mnt],
    ['neither, as ssh', { files: undefined, fstabText: '' }, ''],
  ] as const) {
    const { steps, problems } = sessionPlan({ ...options, release })
    t.equal(formatPlan(steps), expected, what)
    t.same(problems, [], what)
  }
})

t.test('without its tmpfs or its files there is no session', async t => {
  const { steps } = sessionPlan({ files: '9p' as const, fstabText, release })
  t.same(
    steps.map(step => step.onFailure),
    [...Array(6).fill('abort'), 'report', 'abort', 'report', 'report'],
  )
})

t.test('a broken line is named by number, and the others are mounted', async t => {
  const { steps, problems } = sessionPlan({
    files: undefined,
    fstabText:
      '#line 1 namespace\n/tmp/cpu/a /a none bind\n#line 1 fstab\noops\n/b /c none bind,r0\nt /d tmpfs\n',
    release,
  })
  t.same(problems, [
    { severity: 'error', message: 'fstab:1: too few fields: 1 of at least 3 (source, mount point, type)' },
    { severity: 'warning', message: 'fstab:2: unknown option "r0" (did you mean "ro"?)' },
  ])
  t.same([...new Set(steps.slice(7).map(step => step.origin))], ['namespace:1', 'fstab:2', 'fstab:3'])
})

t.test('what the kernel cannot do is refused', async t => {
  const options = { files: '9p' as const, ninep: { cache: 'loose' as const }, fstabText: '' }
  t.throws(() => sessionPlan({ ...options, release: '6.1.0' }), { code: 'ERR_CPU_CACHE_MODE' })
  t.match(formatPlan(sessionPlan({ ...options, release: '' }).steps), /cache=loose/, 'not before it is known')
})

t.test('strict: the first failing mount is the end', async t => {
  const { steps } = sessionPlan({ files: undefined, fstabText, release, strict: true })
  t.equal(steps.at(-1)?.onFailure, 'abort')
})

t.test('touch and remount are printed as commands too', async t => {
  t.equal(
    formatPlan([{ op: 'touch', path: "/a b's", onFailure: 'report', origin: 'x' }]),
    `touch '/a b'"'"'s'  # x\n`,
  )
})
