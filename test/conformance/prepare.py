"""Fills a directory for suite.py, on the side that serves it, and holds what must be held: mounts and a lock.

usage: prepare.py DIRECTORY

Says "ready" when all is there; at the end of its standard input it unmounts, and removes what else it made.
"""

import ctypes, fcntl, os, shutil, signal, subprocess, sys

LENGTHS = (1, 4095, 4096, 4097, 12_943, 65_536, 1_048_577)
FS_IMMUTABLE = 0x10  # linux/fs.h
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
UNMOUNTED_LAZILY = 2  # MNT_DETACH

libc = ctypes.CDLL(None, use_errno=True)
os.chdir(sys.argv[1])


def write(path, data):
    with open(path, 'wb') as file:
        file.write(data)


def mount(name, options):
    os.mkdir(name)
    if libc.mount(b'tmpfs', name.encode(), b'tmpfs', 0, options.encode()) < 0:
        raise OSError(ctypes.get_errno(), f'mount {name}')
    mounted.append(os.path.abspath(name))


def set_immutable(value):
    """Whether the file system knows such a thing."""
    flags = bytearray(8)
    with open('immutable', 'rb') as file:
        try:
            fcntl.ioctl(file, FS_IOC_GETFLAGS, flags)
            flags[0] = flags[0] & ~FS_IMMUTABLE | (FS_IMMUTABLE if value else 0)
            fcntl.ioctl(file, FS_IOC_SETFLAGS, bytes(flags))
            return True
        except OSError:
            return False


def fill():
    os.mkdir('tails')
    for length in LENGTHS:
        write(f'tails/{length}', bytes(i * 7 % 251 for i in range(length)))
    os.mkdir('listing')
    for number in range(2000):
        os.mknod(f'listing/file-{number}')
    os.mkdir('many')
    many = os.open('many', os.O_RDONLY)
    for number in range(100_000):
        os.mknod(f'{number:06}', dir_fd=many)
    write('given', b'')
    os.utime('given', ns=(987_654_321_987_654_321, 1_234_567_890_123_456_789))
    mount('small', 'size=1m,nr_inodes=40')
    for name in ('second', 'third'):
        mount(name, 'size=1m')
        write(f'{name}/same', f'of the {name}'.encode())
    assert os.stat('second/same').st_ino == os.stat('third/same').st_ino
    mount('readonly', 'size=1m')
    write('readonly/file', b'to be read')
    os.mkdir('readonly/directory')
    subprocess.run(['mount', '-o', 'remount,ro', 'readonly'], check=True)
    write('private', b'')
    os.chown('private', 1000, 1000)
    os.chmod('private', 0o600)
    os.mkdir('closed')
    write('closed/file', b'to be read')
    os.chmod('closed', 0o500)
    write('immutable', b'never changed')
    if not set_immutable(True): os.unlink('immutable')
    write('held', b'x' * 20)
    held = open('held', 'r+b')
    fcntl.lockf(held, fcntl.LOCK_EX, 10, 0)
    return held


# Whoever ends the caller's whole group of processes must not leave mounts behind.
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
mounted = []
try:
    held = fill()
    print('ready', flush=True)
    sys.stdin.read()
finally:
    for place in mounted: libc.umount2(place.encode(), UNMOUNTED_LAZILY)
    if os.path.exists('immutable'): set_immutable(False)
    for name in ('many', 'listing', 'tails'): shutil.rmtree(name, ignore_errors=True)
