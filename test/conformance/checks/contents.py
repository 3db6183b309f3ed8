"""Reading, writing, appending, truncating, offsets."""

import ctypes, errno, mmap, os

import support
from support import check, equal, exit_code, fails, in_child, number_of, read, write

libc = ctypes.CDLL(None, use_errno=True)


@check
def created_exclusively():
    write('new', b'one')
    fails(errno.EEXIST, os.open, 'new', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    os.symlink('nowhere', 'dangling')
    fails(errno.EEXIST, os.open, 'dangling', os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    equal(read('new'), b'one')


@check
def created_exclusively_by_one_of_many():
    """Of eight processes that make one name with O_EXCL, one succeeds, in each of 4 rounds."""
    for number in range(4):
        made = [in_child(lambda: 1 if number_of(os.open, f'{number}', os.O_CREAT | os.O_EXCL | os.O_WRONLY) is None else 0)
                for _ in range(8)]
        equal(sum(exit_code(pid) for pid in made), 1)


@check
def contents():
    write('new', b'one')
    write('new', b' two', os.O_APPEND)
    equal(read('new'), b'one two')
    fd = os.open('new', os.O_RDWR)
    equal(os.pwrite(fd, b'ONE', 0), 3)
    equal(os.pread(fd, 100, 0), b'ONE two')
    os.ftruncate(fd, 5)
    equal(os.fstat(fd).st_size, 5)
    os.ftruncate(fd, 8)
    equal(os.pread(fd, 100, 0), b'ONE t\0\0\0')
    os.truncate('new', 4)
    equal(os.fstat(fd).st_size, 4)
    equal(os.pread(fd, 100, 4), b'')
    os.fsync(fd)
    os.close(fd)
    write('truncated', b'x' * 10000)
    write('truncated', b'short')
    equal(read('truncated'), b'short')
    write('read-only', b'written once', os.O_CREAT | os.O_EXCL, 0o400)
    big = os.urandom(1 << 20) * 3 + b'end'
    write('big', big)
    equal(read('big'), big)


@check
def wrong_opens():
    write('file', b'')
    fails(errno.ENOENT, os.open, 'missing', os.O_RDONLY)
    fails(errno.ENOENT, os.open, '', os.O_RDONLY)
    fails(errno.ENOENT, os.open, 'missing/below', os.O_RDONLY | os.O_CREAT)
    fails(errno.ENOTDIR, os.open, 'file/below', os.O_RDONLY)
    fails(errno.ENOTDIR, os.stat, 'file/')
    fails(errno.EISDIR, os.open, '.', os.O_WRONLY)
    fails(errno.EISDIR, os.open, '.', os.O_RDWR)
    os.mkdir('directory')
    fails(errno.EISDIR, os.open, 'directory', os.O_RDWR | os.O_CREAT)
    fails(errno.EISDIR, os.open, 'directory', os.O_RDONLY | os.O_CREAT)
    fails(errno.EISDIR, os.read, os.open('directory', os.O_RDONLY), 10)
    fails(errno.EBADF, os.write, os.open('file', os.O_RDONLY), b'x')
    fails(errno.EBADF, os.read, os.open('file', os.O_WRONLY), 10)


@check
def only_a_directory():
    write('file', b'')
    os.symlink('.', 'link')
    os.mkdir('directory')
    fails(errno.ENOTDIR, os.open, 'file', os.O_RDONLY | os.O_DIRECTORY)
    os.close(os.open('directory', os.O_RDONLY | os.O_DIRECTORY))
    os.close(os.open('link', os.O_RDONLY | os.O_DIRECTORY))
    fails((errno.ENOTDIR, errno.ELOOP), os.open, 'link', os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


@check
def no_link_followed():
    write('file', b'aim')
    os.symlink('file', 'link')
    fails(errno.ELOOP, os.open, 'link', os.O_RDONLY | os.O_NOFOLLOW)
    fails(errno.ELOOP, os.open, 'link', os.O_WRONLY | os.O_NOFOLLOW | os.O_CREAT)
    path = os.open('link', os.O_PATH | os.O_NOFOLLOW)
    equal(os.fstat(path).st_ino, os.lstat('link').st_ino)
    equal(os.readlink('', dir_fd=path), 'file')
    os.symlink('made', 'dangling')
    write('dangling', b'through the link')
    equal(read('made'), b'through the link')


@check
def truncated_on_open():
    write('file', b'x' * 10_000)
    first = os.open('file', os.O_RDWR)
    second = os.open('file', os.O_WRONLY | os.O_TRUNC)
    equal((os.fstat(first).st_size, os.stat('file').st_size), (0, 0))
    equal(os.pread(first, 10, 0), b'')
    os.write(second, b'new')
    os.fsync(second)
    equal(os.pread(first, 10, 0), b'new')
    os.ftruncate(first, 0)
    os.write(second, b'hole')
    os.fsync(second)
    equal(os.pread(first, 10, 0), b'\0\0\0hole')
    os.close(os.open('file', os.O_RDWR | os.O_TRUNC | os.O_APPEND))
    equal(os.stat('file').st_size, 0)


@check
def appending():
    """Lines of four processes at once: none is lost, none is torn."""
    def writer(name):
        fd = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for number in range(50):
            os.write(fd, b'%d %d\n' % (name, number))
    for pid in [in_child(lambda name=name: writer(name)) for name in range(4)]:
        equal(exit_code(pid), 0)
    equal(sorted(read('log').split(b'\n')), sorted([b'%d %d' % (n, i) for n in range(4) for i in range(50)] + [b'']))


@check
def appending_in_turn():
    first = os.open('log', os.O_RDWR | os.O_CREAT | os.O_APPEND)
    second = os.open('log', os.O_WRONLY | os.O_APPEND)
    for number in range(20):
        os.write(first if number % 2 == 0 else second, b'%02d ' % number)
    os.lseek(first, 0, os.SEEK_SET)
    os.write(first, b'end')  # wherever the descriptor is
    equal(read('log'), b''.join(b'%02d ' % number for number in range(20)) + b'end')
    os.ftruncate(first, 2)
    os.write(second, b'!')
    equal(read('log'), b'00!')


@check
def sparse():
    fd = os.open('sparse', os.O_RDWR | os.O_CREAT)
    for at in (0, (1 << 32) - 2, (1 << 32) + 4096, (1 << 40) + 12345):
        equal(os.pwrite(fd, b'mark', at), 4)
        equal(os.pread(fd, 4, at), b'mark')
    equal(os.fstat(fd).st_size, (1 << 40) + 12349)
    os.fsync(fd)
    assert os.fstat(fd).st_blocks < 200, os.fstat(fd).st_blocks
    equal(os.pread(fd, 10, 1 << 39), b'\0' * 10)
    equal(os.lseek(fd, -4, os.SEEK_END), (1 << 40) + 12345)
    os.ftruncate(fd, (1 << 33) + 1)
    equal(os.fstat(fd).st_size, (1 << 33) + 1)
    os.ftruncate(fd, (1 << 32) + 2)
    equal(os.pread(fd, 8, (1 << 32) - 2), b'mark')


@check
def seeking():
    """Data and holes may be told as they are, or all as data."""
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b'end', 1 << 20)
    os.fsync(fd)
    size = (1 << 20) + 3
    equal(os.lseek(fd, 5, os.SEEK_SET), 5)
    equal(os.lseek(fd, 7, os.SEEK_CUR), 12)
    equal(os.lseek(fd, -2, os.SEEK_END), size - 2)
    equal(os.lseek(fd, 1 << 43, os.SEEK_SET), 1 << 43)
    equal(os.read(fd, 10), b'')
    fails(errno.EINVAL, os.lseek, fd, -1, os.SEEK_SET)
    data, hole = os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 0, os.SEEK_HOLE)
    assert (data, hole) in ((0, size), (1 << 20, 0)), (data, hole)
    fails(errno.ENXIO, os.lseek, fd, size, os.SEEK_DATA)
    return 'holes are seen' if hole == 0 else 'holes are data'


@check
def tails():
    """Files of the other side, whose last page is not full."""
    for name in os.listdir(f'{support.export}/tails'):
        size = int(name)
        path = f'{support.export}/tails/{name}'
        data = read(path)
        equal(len(data), size)
        equal(data, bytes(i * 7 % 251 for i in range(size)))
        fd = os.open(path, os.O_RDONLY)
        equal(b''.join(iter(lambda: os.read(fd, 1000 if size < 100_000 else 50_000), b'')), data)
        equal(os.pread(fd, 100, max(0, size - 10)), data[-10:])


@check
def many_buffers():
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    equal(os.writev(fd, [b'one', b'', b'two' * 5000, b'three']), 15_008)
    buffers = [bytearray(2), bytearray(10_000), bytearray(10_000)]
    equal(os.preadv(fd, buffers, 0), 15_008)
    equal(b''.join(buffers)[:15_008], b'one' + b'two' * 5000 + b'three')


@check
def made_durable():
    for flags in (os.O_SYNC, os.O_DSYNC, 0):
        fd = os.open('file', os.O_RDWR | os.O_CREAT | flags)
        equal(os.pwrite(fd, b'durable', 100), 7)
        os.fsync(fd)
        os.fdatasync(fd)
        equal(os.pread(fd, 7, 100), b'durable')
        os.close(fd)
    directory = os.open('.', os.O_RDONLY)
    os.fsync(directory)
    equal(libc.syncfs(directory), 0)


@check
def past_the_cache():
    """O_DIRECT, where it is to be had, is the same file."""
    write('file', b'x' * 8192)
    try:
        fd = os.open('file', os.O_RDWR | os.O_DIRECT)
    except OSError as error:
        equal(error.errno, errno.EINVAL)
        return 'EINVAL'
    page = mmap.mmap(-1, 4096)
    page[:] = b'd' * 4096
    equal(os.pwritev(fd, [page], 4096), 4096)
    equal(read('file'), b'x' * 4096 + b'd' * 4096)
    write('file', b'cached', 0)
    equal(os.preadv(fd, [page], 0), 4096)
    equal(page[:8], b'cachedxx')
    return 'works'


def fallocate(fd, mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) < 0:
        raise OSError(ctypes.get_errno(), 'fallocate')


@check
def space_reserved():
    """fallocate(2) works or says that it is not there; posix_fallocate(3) makes up for it."""
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    told = number_of(fallocate, fd, 0, 0, 10_000)
    assert told in (None, 'ENOTSUP'), told  # Python's name for EOPNOTSUPP
    os.posix_fallocate(fd, 0, 20_000)
    equal(os.fstat(fd).st_size, 20_000)
    assert number_of(fallocate, fd, 0x03, 4096, 4096) in (None, 'ENOTSUP')  # punch a hole
    equal(os.pread(fd, 10_000, 0), b'\0' * 10_000)
    return 'works' if told is None else 'EOPNOTSUPP'


@check
def copied_in_the_kernel():
    data = os.urandom(200_000)
    write('from', data)
    source, target = os.open('from', os.O_RDONLY), os.open('to', os.O_RDWR | os.O_CREAT)
    done = 0
    while done < len(data):
        copied = os.copy_file_range(source, target, len(data) - done, done, done)
        assert copied > 0
        done += copied
    equal(read('to'), data)
    os.ftruncate(target, 0)
    os.lseek(target, 0, os.SEEK_SET)
    done = 0
    while done < len(data):
        done += os.sendfile(target, source, done, len(data) - done)
    equal(read('to'), data)


@check
def without_a_name():
    """O_TMPFILE works, or is refused as where a file system lacks it."""
    try:
        fd = os.open('.', os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        equal(error.errno, errno.EOPNOTSUPP)
        return 'EOPNOTSUPP'
    equal(os.fstat(fd).st_nlink, 0)
    equal((os.write(fd, b'x'), os.listdir('.')), (1, []))
    return 'works'
