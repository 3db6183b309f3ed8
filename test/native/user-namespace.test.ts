import { execFileSync } from 'node:child_process'
import t from 'tap'
import { systemError } from '../../src/native/binding.js'
import {
  chooseUserNamespace,
  fuseDeviceError,
  mayMountHere,
  userNamespaceError,
} from '../../src/native/user-namespace.js'

const ivy = { uid: 1000, gid: 100, userName: 'ivy', subuid: '', subgid: '', hasTools: true }
const given = 'eve:1:1\nivy:100000:65536\n'
const rootOnly = {
  uids: [{ inside: 0, outside: 1000, count: 1 }],
  gids: [{ inside: 0, outside: 100, count: 1 }],
  subordinate: false,
}

t.test('the user keeps his number, the subordinate ids are all others', async t => {
  t.same(chooseUserNamespace({ ...ivy, subuid: given, subgid: given }), {
    uids: [
      { inside: 0, outside: 100_000, count: 1000 },
      { inside: 1001, outside: 101_000, count: 64_536 },
      { inside: 1000, outside: 1000, count: 1 },
    ],
    gids: [
      { inside: 0, outside: 100_000, count: 100 },
      { inside: 101, outside: 100_100, count: 65_436 },
      { inside: 100, outside: 100, count: 1 },
    ],
    subordinate: true,
  })
})

t.test('few ids, several ranges, and lines that mean nothing', async t => {
  const uidsOf = (subuid: string, uid = 1000) =>
    chooseUserNamespace({ ...ivy, uid, subuid, subgid: given })
      .uids.slice(0, -1)
      .map(({ inside, outside, count }) => [inside, outside, count])
  t.same(uidsOf('ivy:5000:1'), [[0, 5000, 1]])
  t.same(uidsOf('1000:5000:2\nivy:7000:3'), [
    [0, 5000, 2],
    [2, 7000, 3],
  ])
  t.same(uidsOf('ivy:5000:2\nivy:7000:3', 2), [
    [0, 5000, 2],
    [3, 7000, 3],
  ])
  t.same(uidsOf('ivy:5000:2\nivy:7000:3', 3), [
    [0, 5000, 2],
    [2, 7000, 1],
    [4, 7001, 2],
  ])
  t.same(uidsOf('ivy:x:2\nivy:1\nivy:1:2:3\n\nivy:9:0\nivy:5000:1'), [[0, 5000, 1]])
})

t.test('root inside where ids or tools are missing', async t => {
  const both = { ...ivy, subuid: given, subgid: given }
  t.same(chooseUserNamespace({ ...both, subgid: '' }), rootOnly)
  t.same(chooseUserNamespace({ ...both, subuid: 'ivy:1:0' }), rootOnly)
  t.same(chooseUserNamespace({ ...both, hasTools: false }), rootOnly)
  t.same(chooseUserNamespace({ ...both, userName: undefined }), rootOnly)
  t.same(chooseUserNamespace({ ...both, uid: 0 }).uids, [{ inside: 0, outside: 0, count: 1 }])
})

t.test('root may mount, a user may not', async t => {
  t.equal(mayMountHere(), true)
  const program = `import('${new URL('../../src/native/user-namespace.js', import.meta.url)}')
    .then(({ mayMountHere, userNamespaceHere }) =>
      console.log(mayMountHere(), JSON.stringify(userNamespaceHere().uids)))`
  const said = execFileSync('setpriv', [
    ...['--reuid', '23456', '--regid', '23456', '--clear-groups'],
    ...[process.execPath, '-e', program],
  ])
  t.equal(String(said), 'false [{"inside":0,"outside":23456,"count":1}]\n')
})

t.test('what keeps users from namespaces is named', async t => {
  const said = (code: number, settings: Record<string, string> = {}) => {
    const cause = systemError(code, 'unshare', 'user namespace')
    const { message, remedy } = userNamespaceError(cause, path => settings[path] ?? '')
    return [message, remedy]
  }
  t.same(said(1, { 'kernel/unprivileged_userns_clone': '0\n', 'user/max_user_namespaces': '96365\n' }), [
    'user namespaces are switched off for users (kernel.unprivileged_userns_clone is 0)',
    'as root: sysctl kernel.unprivileged_userns_clone=1; or run cpud as root',
  ])
  t.same(said(13, { 'kernel/apparmor_restrict_unprivileged_userns': '1\n' }), [
    'AppArmor keeps users from user namespaces (kernel.apparmor_restrict_unprivileged_userns is 1)',
    'as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0; or run cpud as root',
  ])
  t.match(said(28, { 'user/max_user_namespaces': '5\n' })[0], /^no more user namespaces/)
  t.match(said(22)[0], /^this kernel has no user namespaces/)
  t.same(said(1), [
    'no user namespace that may mount: EPERM: operation not permitted, unshare user namespace',
    'look for a container, chroot or security module that forbids it, or run cpud as root',
  ])
  t.equal(
    fuseDeviceError(systemError(24, 'open', '/dev/fuse'), '/dev/fuse').message,
    'no FUSE here (EMFILE: too many open files, open /dev/fuse)',
  )
})
