"""Files whose names go, change, or are several."""

import errno, os, stat

from support import check, equal, exit_code, fails, in_child, read, write


@check
def unlinking():
    fd = os.open('file', os.O_RDWR | os.O_CREAT, 0o640)
    os.write(fd, b'x' * 5000)
    os.unlink('file')
    fails(errno.ENOENT, os.stat, 'file')
    equal(os.pread(fd, 5, 4990), b'xxxxx')
    equal(os.pwrite(fd, b'more', 5000), 4)
    equal(os.pread(fd, 10, 4998), b'xxmore')
    status = os.fstat(fd)
    equal((status.st_nlink, status.st_size, status.st_mode), (0, 5004, stat.S_IFREG | 0o640))
    os.ftruncate(fd, 3)
    os.fchmod(fd, 0o600)
    os.fsync(fd)
    equal((os.fstat(fd).st_size, os.fstat(fd).st_mode & 0o777), (3, 0o600))
    write('file', b'another of the name')
    equal(os.pread(fd, 100, 0), b'xxx')
    os.close(fd)
    equal(read('file'), b'another of the name')


@check
def unlinked_size_alone():
    """The size of a removed file, without its mode before it."""
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'x' * 100)
    os.unlink('file')
    os.ftruncate(fd, 10)
    equal(os.fstat(fd).st_size, 10)
    os.ftruncate(fd, 20)
    equal(os.pread(fd, 100, 0), b'x' * 10 + b'\0' * 10)
    os.utime(fd, (1, 1))
    equal(os.fstat(fd).st_mtime, 1)


@check
def unlinked_by_another_process():
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'kept')
    equal(exit_code(in_child(lambda: os.unlink('file'))), 0)
    equal(os.pread(fd, 10, 0), b'kept')
    equal(os.pwrite(fd, b'more', 4), 4)
    equal((os.fstat(fd).st_size, os.pread(fd, 10, 0)), (8, b'keptmore'))


@check
def opened_again_after_unlink():
    fd = os.open('file', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'kept')
    os.fsync(fd)
    os.unlink('file')
    again = os.open(f'/proc/self/fd/{fd}', os.O_RDONLY)
    equal(os.read(again, 10), b'kept')


@check
def wrong_unlinks():
    os.mkdir('directory')
    fails(errno.EISDIR, os.unlink, '.')
    fails((errno.EISDIR, errno.EPERM), os.unlink, 'directory')
    fails(errno.ENOENT, os.unlink, 'missing')
    write('file', b'')
    fails(errno.ENOTDIR, os.unlink, 'file/')
    fails(errno.ENOTDIR, os.rmdir, 'file')
    fails(errno.EINVAL, os.rmdir, 'directory/.')
    fails(errno.ENOTEMPTY, os.rmdir, 'directory/..')


@check
def renaming():
    write('old', b'old')
    write('other', b'other')
    fd = os.open('other', os.O_RDWR)
    moved = os.open('old', os.O_RDWR)
    os.rename('old', 'other')
    equal(read('other'), b'old')
    equal(os.pread(fd, 10, 0), b'other')
    equal(os.pwrite(fd, b'still', 0), 5)
    equal(os.pread(fd, 10, 0), b'still')
    equal(os.pwrite(moved, b'new', 0), 3)
    equal(read('other'), b'new')
    equal(os.fstat(moved).st_ino, os.stat('other').st_ino)
    assert not os.path.exists('old')
    os.mkdir('a')
    os.mkdir('b')
    write('a/file', b'in it')
    inside = os.open('a/file', os.O_RDONLY)
    os.rename('a', 'b')
    equal(read('b/file'), b'in it')
    equal(os.read(inside, 10), b'in it')
    os.chdir('b')
    os.rename('../b', '../c')
    equal(os.getcwd().rsplit('/', 1)[1], 'c')
    equal(read('file'), b'in it')


@check
def renamed_over_and_stat():
    """fstat, ftruncate and fsync of a file that another was renamed over."""
    fd = os.open('target', os.O_RDWR | os.O_CREAT)
    os.write(fd, b'covered')
    write('source', b'new')
    os.rename('source', 'target')
    equal((os.fstat(fd).st_nlink, os.fstat(fd).st_size), (0, 7))
    os.ftruncate(fd, 5)
    os.fsync(fd)
    equal((os.pread(fd, 10, 0), read('target')), (b'cover', b'new'))


@check
def wrong_renames():
    write('file', b'')
    os.makedirs('directory/below')
    os.mkdir('empty')
    fails(errno.EINVAL, os.rename, 'directory', 'directory/inside')
    fails(errno.EINVAL, os.rename, 'directory', 'directory/below/inside')
    fails(errno.EISDIR, os.rename, 'file', 'directory')
    fails(errno.ENOTDIR, os.rename, 'directory', 'file')
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, 'empty', 'directory')
    fails((errno.ENOTEMPTY, errno.EEXIST), os.rename, 'directory/below', 'directory')
    fails(errno.ENOENT, os.rename, 'missing', 'x')
    fails(errno.ENOENT, os.rename, 'file', 'missing/x')
    fails(errno.ENOTDIR, os.rename, 'file', 'file/x')
    fails((errno.EBUSY, errno.EINVAL), os.rename, '.', 'x')
    os.rename('file', 'file')
    equal(sorted(os.listdir('.')), ['directory', 'empty', 'file'])


@check
def renamed_directories():
    """Open files, working directories and paths below a directory that moves, and moves back."""
    os.makedirs('a/b/c')
    write('a/b/c/file', b'1')
    fd = os.open('a/b/c/file', os.O_RDWR)
    directory = os.open('a/b', os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir('target')
    os.rename('a', 'target/moved')
    fails(errno.ENOENT, os.stat, 'a')
    equal(read('target/moved/b/c/file'), b'1')
    os.pwrite(fd, b'2', 0)
    os.fsync(fd)
    equal(read('target/moved/b/c/file'), b'2')
    os.rename('c/file', 'file', src_dir_fd=directory, dst_dir_fd=directory)
    os.rename('target/moved/b', 'b')
    equal(read('b/file'), b'2')
    equal(sorted(os.listdir(directory)), ['c', 'file'])
    os.rename('target/moved', 'b/c/back')
    equal(os.stat('b/c/back/..').st_ino, os.stat('b/c').st_ino)
    equal(os.path.exists('target/moved'), False)
    equal((os.stat('target').st_nlink, os.stat('b').st_nlink), (2, 3))


@check
def hard_links():
    write('one', b'shared')
    os.link('one', 'two')
    os.mkdir('below')
    os.link('one', 'below/three')
    equal([os.stat(name).st_nlink for name in ('one', 'two', 'below/three')], [3, 3, 3])
    equal(len({os.stat(name).st_ino for name in ('one', 'two', 'below/three')}), 1)
    write('two', b'changed')
    equal(read('below/three'), b'changed')
    os.unlink('one')
    equal(os.stat('two').st_nlink, 2)
    os.rename('two', 'below/three')  # two names of one file: nothing happens
    equal(read('two'), b'changed')
    fails(errno.EEXIST, os.link, 'two', 'below/three')
    fails(errno.EPERM, os.link, 'below', 'directory')
    fails(errno.ENOENT, os.link, 'missing', 'x')


@check
def hard_links_to_links():
    os.symlink('missing', 'link')
    os.link('link', 'link-two', follow_symlinks=False)
    equal(os.lstat('link').st_nlink, 2)
    equal(os.readlink('link-two'), 'missing')


@check
def link_counts_of_open_files():
    fd = os.open('one', os.O_RDWR | os.O_CREAT)
    counts = [os.fstat(fd).st_nlink]
    os.link('one', 'two')
    counts.append(os.fstat(fd).st_nlink)
    os.unlink('one')
    counts.append(os.fstat(fd).st_nlink)
    os.rename('two', 'three')
    counts.append(os.fstat(fd).st_nlink)
    os.unlink('three')
    counts.append(os.fstat(fd).st_nlink)
    equal(counts, [1, 2, 1, 1, 0])


@check
def one_file_by_two_names():
    """Written by one name, read by the other, while both are open."""
    first = os.open('one', os.O_RDWR | os.O_CREAT)
    os.link('one', 'two')
    second = os.open('two', os.O_RDWR)
    os.pwrite(first, b'first', 0)
    os.fsync(first)
    equal(os.pread(second, 10, 0), b'first')
    os.pwrite(second, b'secnd', 0)
    os.fsync(second)
    equal(os.pread(first, 10, 0), b'secnd')
    os.ftruncate(second, 2)
    equal((os.fstat(first).st_size, os.fstat(second).st_size), (2, 2))
