"""Names, paths and symbolic links."""

import errno, os

from support import check, equal, fails, read, write


@check
def names():
    odd = [b'n' * 255, ('ä' * 127).encode(), b'\xff\xfe\x80', b'caf\xe9', b' ', b'new\nline', b'back\\slash', b'-rf', b'"\'$`*?', b'\x01\x7f']
    for name in odd:
        write(name, name)
    equal(sorted(os.listdir(b'.')), sorted(odd))
    for name in odd:
        equal(read(name), name)
    os.rename(b'\xff\xfe\x80', b'\xfe\xff')
    os.symlink(b'\xfe\xff', b'\x80')
    equal(read(b'\x80'), b'\xff\xfe\x80')


@check
def every_byte():
    """A file for each byte that a name may hold."""
    wanted = [bytes((byte, 0x78)) for byte in range(1, 256) if byte != 0x2f]
    for name in wanted:
        os.mknod(name)
    equal(sorted(os.listdir(b'.')), wanted)


@check
def too_long_names():
    fails(errno.ENAMETOOLONG, os.open, b'n' * 256, os.O_CREAT | os.O_WRONLY)
    fails(errno.ENAMETOOLONG, os.stat, b'n' * 256)
    fails(errno.ENAMETOOLONG, os.mkdir, b'n' * 256)
    fails(errno.ENAMETOOLONG, os.symlink, 'x', b'n' * 256)
    write('file', b'')
    fails(errno.ENAMETOOLONG, os.rename, 'file', b'n' * 256)
    fails(errno.ENAMETOOLONG, os.link, 'file', b'n' * 256)
    fails(errno.ENAMETOOLONG, os.stat, b'd/' * 2048 + b'x')


@check
def deep_paths():
    path = b'/'.join([b'deep' * 50] * 15)
    os.makedirs(path)
    write(path + b'/file', b'deep')
    equal(read(path + b'/file'), b'deep')
    for _ in range(40):
        os.mkdir('down')
        os.chdir('down')
    write('file', b'bottom')
    equal(read('../' * 40 + 'down/' * 40 + 'file'), b'bottom')


@check
def symlinks():
    long = (('d' * 254 + '/') * 17)[:4095]
    for name, target in {'long': long, 'dangling': 'no/such', 'absolute': os.path.abspath('file'), 'bytes': b'\xfe\xff'}.items():
        os.symlink(target, name)
        found = os.readlink(os.fsencode(name))
        equal(found, os.fsencode(target))
        equal(os.lstat(name).st_size, len(found))
    fails(errno.ENAMETOOLONG, os.symlink, 'x' * 4096, 'too-long')
    fails(errno.EEXIST, os.symlink, 'x', 'long')
    write('file', b'aim')
    equal(read('absolute'), b'aim')
    fails(errno.ENOENT, os.stat, 'dangling')
    fails(errno.EINVAL, os.readlink, 'file')
    os.mkdir('directory')
    os.symlink('../file', 'directory/up')
    equal(read('directory/up'), b'aim')
    os.symlink('/etc/hostname', 'machine')
    equal(os.path.exists('machine'), True)


@check
def loops_of_links():
    os.symlink('loop', 'loop')
    fails(errno.ELOOP, os.stat, 'loop')
    fails(errno.ELOOP, os.open, 'loop', os.O_RDONLY | os.O_CREAT)
    fails(errno.ELOOP, os.stat, 'loop/below')
    os.symlink('b', 'a')
    os.symlink('a', 'b')
    fails(errno.ELOOP, os.listdir, 'a')
    write('0', b'forty links')
    for number in range(1, 41):
        os.symlink(str(number - 1), str(number))
    equal(read('40'), b'forty links')


@check
def wrong_links():
    fails(errno.ENOENT, os.symlink, '', 'empty')
    fails(errno.ENOENT, os.symlink, 'x', 'missing/y')
    write('file', b'')
    fails(errno.ENOTDIR, os.symlink, 'x', 'file/y')
    os.symlink('file', 'link')
    fails(errno.ENOTDIR, os.stat, 'link/')
    os.unlink('link')
    equal(read('file'), b'')
