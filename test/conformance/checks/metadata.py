"""Modes, owners, times, special files, extended attributes, sizes of file systems."""

import errno, os, socket, stat, subprocess, time

import support
from support import check, equal, exit_code, fails, in_child, number_of, read, write

XATTR_CREATE, XATTR_REPLACE = 1, 2


@check
def modes():
    os.umask(0)
    for mode in (0o000, 0o4755, 0o2755, 0o6711, 0o1777, 0o640):
        name = f'{mode:04o}'
        write(name, b'#!/bin/sh\n')
        os.chmod(name, mode)
        equal(stat.S_IMODE(os.stat(name).st_mode), mode)
    os.umask(0o027)
    write('masked', b'')
    equal(stat.S_IMODE(os.stat('masked').st_mode), 0o640)
    os.mkdir('masked-directory')
    equal(stat.S_IMODE(os.stat('masked-directory').st_mode), 0o750)
    os.chmod('masked-directory', 0o3770)
    os.chown('masked', 1234, 5678)
    equal((os.stat('masked').st_uid, os.stat('masked').st_gid), (1234, 5678))
    write('written', b'', mode=0o755)
    os.chmod('written', 0o4755)


@check
def modes_of_new_files():
    """The umask is applied once, and to all kinds."""
    for umask in (0, 0o077, 0o137):
        os.umask(umask)
        for kind, make in {
            'file': lambda name: os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o777)),
            'directory': lambda name: os.mkdir(name, 0o777),
            'fifo': lambda name: os.mkfifo(name, 0o777),
            'node': lambda name: os.mknod(name, 0o777 | stat.S_IFREG),
        }.items():
            name = f'{kind}-{umask:o}'
            make(name)
            equal((name, stat.S_IMODE(os.stat(name).st_mode)), (name, 0o777 & ~umask))
    os.umask(0)
    os.mkdir('sticky', 0o1777)
    equal(stat.S_IMODE(os.stat('sticky').st_mode), 0o1777)


@check
def set_user_id():
    """Bits for set-user-ID survive what leaves them, and go with a change of owner."""
    write('file', b'')
    os.chmod('file', 0o6755)
    os.rename('file', 'moved')
    os.utime('moved', (1, 1))
    equal(stat.S_IMODE(os.stat('moved').st_mode), 0o6755)
    os.chown('moved', 1000, 1000)
    equal(stat.S_IMODE(os.stat('moved').st_mode), 0o755)
    os.chmod('moved', 0o4755)
    equal(stat.S_IMODE(os.stat('moved').st_mode), 0o4755)


@check
def set_user_id_and_writing():
    """A write by someone who is not root takes the bits away."""
    write('file', b'#!')
    os.chmod('file', 0o6777)
    def user():
        become_user()
        fd = os.open('file', os.O_WRONLY)
        os.write(fd, b'changed')
        os.close(fd)
    equal(exit_code(in_child(user)), 0)
    equal(stat.S_IMODE(os.stat('file').st_mode), 0o777)


@check
def owners():
    write('file', b'')
    os.chown('file', 70_000, 80_000)
    os.chown('file', -1, 5)
    equal((os.stat('file').st_uid, os.stat('file').st_gid), (70_000, 5))
    os.chown('file', 0xfffffffe, -1)
    equal(os.stat('file').st_uid, 0xfffffffe)
    os.symlink('file', 'link')
    os.lchown('link', 7, 8)
    equal((os.lstat('link').st_uid, os.stat('file').st_gid), (7, 5))
    fd = os.open('file', os.O_RDONLY)
    os.fchown(fd, 1, 2)
    equal((os.stat('file').st_uid, os.stat('file').st_gid), (1, 2))


@check
def other_user():
    """A second user of the machine: what mode bits say holds for it."""
    write('public', b'for all')
    write('private', b'for root', mode=0o600)
    os.chmod('private', 0o600)
    os.mkdir('open')
    os.chmod('open', 0o777)
    os.mkdir('closed')
    os.chmod('closed', 0o700)
    def user():
        become_user()
        equal(read('public'), b'for all')
        fails(errno.EACCES, os.open, 'public', os.O_WRONLY)
        fails(errno.EACCES, os.open, 'private', os.O_RDONLY)
        fails(errno.EACCES, os.open, 'new', os.O_CREAT | os.O_WRONLY)
        fails(errno.EACCES, os.listdir, 'closed')
        fails(errno.EACCES, os.stat, 'closed/x')
        fails(errno.EPERM, os.chmod, 'public', 0o777)
        fails(errno.EPERM, os.utime, 'public', (1, 1))
        fd = os.open('open/mine', os.O_CREAT | os.O_RDWR, 0o666)
        equal(os.write(fd, b'by another'), 10)
        os.lseek(fd, 0, 0)
        equal(os.read(fd, 20), b'by another')
        os.mkdir('open/directory')
        os.rename('open/mine', 'open/named')
        equal(sorted(os.listdir('open')), ['directory', 'named'])
    equal(exit_code(in_child(user)), 0)
    equal(read('open/named'), b'by another')


@check
def owner_of_what_a_user_makes():
    """Belongs to the user, or, where the other side runs as one user, to that one."""
    os.chmod('.', 0o777)
    def user():
        become_user()
        write('file', b'')
        os.mkdir('directory')
    equal(exit_code(in_child(user)), 0)
    owners = {os.stat(name).st_uid for name in ('file', 'directory')}
    assert owners in ({1000}, {0}), owners
    return 'the user' if owners == {1000} else 'the server'


def become_user():
    os.setgroups([])
    os.setgid(1000)
    os.setuid(1000)


@check
def times_of_the_other_side():
    """`given` is the other side's, with nanoseconds."""
    equal(os.stat(f'{support.export}/given').st_mtime_ns, 1_234_567_890_123_456_789)
    equal(os.stat(f'{support.export}/given').st_atime_ns, 987_654_321_987_654_321)


#: Around now, before 1970, after 32 bits.
TIMES = {'recent': 1_700_000_000_123_456_789, 'early': -1_000_000_001, 'late': 8_589_934_592_999_999_999}


def settable(at):
    """v9fs passes on whole seconds, from 1970 on: newer kernels may do better."""
    return at, max(at // 10**9 * 10**9, 0)


@check
def times():
    told = {}
    for name, at in TIMES.items():
        write(name, b'')
        os.utime(name, ns=(at + 5 * 10**9, at))
        status = os.stat(name)
        assert status.st_mtime_ns in settable(at), status
        assert status.st_atime_ns in settable(at + 5 * 10**9), status
        told[name] = str(status.st_mtime_ns)
    subprocess.run(['touch', '-d', '2001-02-03T04:05:06.789Z', 'touched'], check=True)
    assert os.stat('touched').st_mtime_ns in settable(981_173_106_789_000_000)
    os.symlink('recent', 'link')
    os.utime('link', ns=(0, 0), follow_symlinks=False)
    assert os.lstat('link').st_mtime_ns == 0 and os.stat('recent').st_mtime_ns in settable(TIMES['recent'])
    write('touched', b'x', 0)
    assert os.stat('touched').st_mtime > 1.7e9, 'a write is seen'
    os.mkdir('directory')
    os.utime('directory', ns=(0, 0))
    write('directory/file', b'')
    assert os.stat('directory').st_mtime > 1.7e9, 'a new entry is seen'
    changed = os.stat('recent').st_ctime_ns
    os.chmod('recent', 0o600)
    assert os.stat('recent').st_ctime_ns > changed
    return told


@check
def times_to_the_nanosecond():
    write('file', b'')
    os.utime('file', ns=(1_600_000_000_000_000_001, 1_700_000_000_999_999_999))
    status = os.stat('file')
    equal((status.st_atime_ns, status.st_mtime_ns), (1_600_000_000_000_000_001, 1_700_000_000_999_999_999))


@check
def times_before_1970():
    write('file', b'')
    os.utime('file', (-1_000_000, -2_000_000))
    status = os.stat('file')
    equal((status.st_atime, status.st_mtime), (-1_000_000, -2_000_000))


@check
def times_one_alone():
    """UTIME_OMIT leaves one as it is, UTIME_NOW is the present."""
    write('file', b'')
    os.utime('file', (1_000_000, 2_000_000))
    set_times('file', (0, UTIME_OMIT), (3_000_000, 0))
    equal((os.stat('file').st_atime, os.stat('file').st_mtime), (1_000_000, 3_000_000))
    set_times('file', (4_000_000, 0), (0, UTIME_OMIT))
    equal((os.stat('file').st_atime, os.stat('file').st_mtime), (4_000_000, 3_000_000))
    set_times('file', (0, UTIME_OMIT), (0, UTIME_OMIT))
    equal((os.stat('file').st_atime, os.stat('file').st_mtime), (4_000_000, 3_000_000))
    set_times('file', (0, UTIME_NOW), (0, UTIME_OMIT))
    assert os.stat('file').st_atime > 1.7e9 and os.stat('file').st_mtime == 3_000_000
    set_times('file', (5_000_000, 0), (0, UTIME_NOW))
    assert os.stat('file').st_atime == 5_000_000 and os.stat('file').st_mtime > 1.7e9
    os.utime('file')
    assert os.stat('file').st_atime > 1.7e9 and os.stat('file').st_mtime > 1.7e9


UTIME_NOW, UTIME_OMIT = 0x3fffffff, 0x3ffffffe


def set_times(path, access, modification):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    times = (ctypes.c_long * 4)(*access, *modification)
    if libc.utimensat(-100, path.encode(), times, 0) < 0:
        raise OSError(ctypes.get_errno(), 'utimensat')


@check
def times_of_what_is_written():
    """Neither a read nor a rename touches the time of modification; a write and a truncation do."""
    write('file', b'x' * 100)
    os.utime('file', (1_000_000, 2_000_000))
    read('file')
    os.rename('file', 'moved')
    equal(os.stat('moved').st_mtime, 2_000_000)
    os.truncate('moved', 10)
    assert os.stat('moved').st_mtime > 1.7e9
    os.utime('moved', (1_000_000, 2_000_000))
    fd = os.open('moved', os.O_WRONLY)
    os.write(fd, b'y')
    os.close(fd)
    assert os.stat('moved').st_mtime > 1.7e9


@check
def time_set_after_writing():
    """What cp -p and tar do: write, set the time, close. The time stays."""
    fd = os.open('file', os.O_WRONLY | os.O_CREAT)
    os.write(fd, b'x' * 10_000)
    os.utime(fd, (1_000_000, 2_000_000))
    os.close(fd)
    equal(os.stat('file').st_mtime, 2_000_000)


@check
def special():
    os.mkfifo('fifo', 0o622)
    assert stat.S_ISFIFO(os.stat('fifo').st_mode)
    def writer():
        with open('fifo', 'wb') as pipe:
            pipe.write(b'x' * 100_000)
    pid = in_child(writer)
    equal(len(read('fifo')), 100_000)
    equal(exit_code(pid), 0)
    server = socket.socket(socket.AF_UNIX)
    server.bind('socket')
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect('socket')
    client.send(b'hello')
    equal(server.accept()[0].recv(10), b'hello')
    fails(errno.ENXIO, os.open, 'socket', os.O_RDONLY)
    fails(errno.EEXIST, os.mkfifo, 'fifo')


@check
def device_nodes():
    os.mknod('null', stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod('block', stat.S_IFBLK | 0o600, os.makedev(259, 70_000))
    status = os.stat('null')
    equal((stat.S_ISCHR(status.st_mode), status.st_rdev), (True, os.makedev(1, 3)))
    status = os.stat('block')
    equal((stat.S_ISBLK(status.st_mode), status.st_rdev), (True, os.makedev(259, 70_000)))
    os.rename('null', 'moved')
    os.unlink('block')
    equal(os.listdir('.'), ['moved'])


def user_xattrs(path):
    """All that a program may set; a security module has some of its own."""
    return sorted(name for name in os.listxattr(path) if name.startswith('user.'))


@check
def xattrs():
    write('file', b'')
    os.mkdir('directory')
    for path in ('file', 'directory'):
        equal(user_xattrs(path), [])
        os.setxattr(path, 'user.one', b'1')
        os.setxattr(path, 'user.bytes', bytes(range(256)))
        equal((os.getxattr(path, 'user.one'), os.getxattr(path, 'user.bytes')), (b'1', bytes(range(256))))
        equal(user_xattrs(path), ['user.bytes', 'user.one'])
        fails(errno.ENODATA, os.getxattr, path, 'user.missing')
        os.removexattr(path, 'user.one')
        fails(errno.ENODATA, os.getxattr, path, 'user.one')
        fails(errno.ENODATA, os.removexattr, path, 'user.one')
        equal(user_xattrs(path), ['user.bytes'])


@check
def xattrs_created_and_replaced():
    write('file', b'')
    os.setxattr('file', 'user.one', b'1', XATTR_CREATE)
    fails(errno.EEXIST, os.setxattr, 'file', 'user.one', b'2', XATTR_CREATE)
    os.setxattr('file', 'user.one', b'22', XATTR_REPLACE)
    equal(os.getxattr('file', 'user.one'), b'22')
    fails(errno.ENODATA, os.setxattr, 'file', 'user.two', b'2', XATTR_REPLACE)
    os.setxattr('file', 'user.one', b'3')
    equal((os.getxattr('file', 'user.one'), user_xattrs('file')), (b'3', ['user.one']))


@check
def xattrs_empty():
    write('file', b'')
    os.setxattr('file', 'user.empty', b'')
    equal((os.getxattr('file', 'user.empty'), user_xattrs('file')), (b'', ['user.empty']))


@check
def xattrs_large():
    write('file', b'')
    value = os.urandom(3000)
    os.setxattr('file', 'user.' + 'n' * 250, value)
    equal(os.getxattr('file', 'user.' + 'n' * 250), value)
    fails((errno.ERANGE, errno.EINVAL), os.setxattr, 'file', 'user.' + 'n' * 251, b'')
    for number in range(20):
        os.setxattr('file', f'user.{number}', b'x')
    equal(len(user_xattrs('file')), 21)
    fd = os.open('file', os.O_RDONLY)
    equal(os.getxattr(fd, 'user.7'), b'x')


@check
def statistics():
    mine = os.statvfs('.')
    assert mine.f_blocks > 0 and mine.f_bfree <= mine.f_blocks and mine.f_namemax == 255
    equal(subprocess.run(['df', '--output=size', '-B1', '.'], capture_output=True, text=True, check=True)
          .stdout.split()[1], str(mine.f_frsize * mine.f_blocks))
    return str(mine.f_frsize * mine.f_blocks)


@check
def statistics_of_each_file_system():
    small = os.statvfs(f'{support.export}/small')
    equal(small.f_frsize * small.f_blocks, 1 << 20)
    write(f'{support.export}/small/file', b'x' * 100_000)
    fd = os.open(f'{support.export}/small/file', os.O_RDONLY)
    used = small.f_bfree * small.f_frsize - os.fstatvfs(fd).f_bfree * small.f_frsize
    os.unlink(f'{support.export}/small/file')
    assert 100_000 <= used <= 130_000, used
