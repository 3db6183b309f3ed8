import t from 'tap'
import { checkTag, virtiofsdCommand } from '../../qemu/virtiofsd.js'

const share = { tag: 'src', hostPath: '/home/me/a,b', readOnly: false, cache: 'auto' } as const

t.test("QEMU's virtiofsd in C", t => {
  const program = { path: '/usr/lib/qemu/virtiofsd', kind: 'c' } as const
  const { command, args } = virtiofsdCommand({ program, sandbox: 'namespace', share })
  t.equal(command, program.path)
  t.equal(args.join(' '), '--fd=0 -f -o source=/home/me/a\\,b -o cache=auto -o sandbox=namespace')
  const readOnly = virtiofsdCommand({ program, sandbox: 'chroot', share: { ...share, readOnly: true } })
  t.equal(readOnly.command, 'unshare')
  const uncached = virtiofsdCommand({ program, sandbox: 'chroot', share: { ...share, cache: 'never' } })
  t.ok(uncached.args.includes('cache=none'), 'which it calls by another name')
  t.ok(readOnly.args.includes(share.hostPath), 'the directory is an argument of the script, never part of it')
  t.equal(readOnly.args.at(-1), 'sandbox=chroot')
  const root = virtiofsdCommand({
    program,
    sandbox: 'chroot',
    share: { ...share, hostPath: '/', readOnly: true },
  })
  t.match(root.args.join(' '), /findmnt/, 'with / comes what is mounted below')
  t.end()
})

t.test('virtiofsd in Rust', t => {
  const program = { path: '/usr/libexec/virtiofsd', kind: 'rust' } as const
  const { args } = virtiofsdCommand({ program, sandbox: 'namespace', share: { ...share, readOnly: true } })
  t.strictSame(args, [
    '--fd=0',
    '--shared-dir=/home/me/a,b',
    '--cache=auto',
    '--sandbox=namespace',
    '--readonly',
  ])
  const uncached = virtiofsdCommand({ program, sandbox: 'chroot', share: { ...share, cache: 'never' } })
  t.ok(uncached.args.includes('--cache=never'))
  t.end()
})

t.test('tags', t => {
  t.equal(checkTag('myfs'), 'myfs')
  for (const tag of ['', 'a b', 'a/b', 'a,b', 'x'.repeat(37)])
    t.throws(() => checkTag(tag), { code: 'ERR_CPU_USAGE' })
  t.end()
})
