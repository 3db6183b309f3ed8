"""Directories, and their entries while they change."""

import ctypes, errno, os, random, stat, threading

import support
from support import check, equal, fails, read, write

libc = ctypes.CDLL(None, use_errno=True)


class Entry(ctypes.Structure):
    """struct dirent of 64-bit Linux."""
    _fields_ = [('ino', ctypes.c_ulong), ('off', ctypes.c_long), ('reclen', ctypes.c_ushort),
                ('type', ctypes.c_ubyte), ('name', ctypes.c_char * 256)]


libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir.restype = ctypes.POINTER(Entry)
libc.telldir.restype = ctypes.c_long
for call in (libc.readdir, libc.telldir, libc.closedir, libc.rewinddir):
    call.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]


class Stream:
    """A directory by opendir(3) and its like."""
    def __init__(self, path='.'):
        self.handle = libc.opendir(os.fsencode(path))
        assert self.handle

    def next(self):
        entry = libc.readdir(self.handle)
        return entry.contents if entry else None

    def names(self):
        return [entry.name.decode() for entry in iter(self.next, None)]

    def tell(self): return libc.telldir(self.handle)
    def seek(self, place): libc.seekdir(self.handle, place)
    def rewind(self): libc.rewinddir(self.handle)
    def close(self): libc.closedir(self.handle)


@check
def directories():
    os.makedirs('a/b/c')
    fails(errno.EEXIST, os.mkdir, 'a')
    fails(errno.ENOTEMPTY, os.rmdir, 'a')
    equal(os.stat('a').st_nlink, 3)
    here = os.open('a/b/c', os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir('a/b/c')
    fails(errno.ENOENT, os.mkdir, 'below', dir_fd=here)
    equal(os.listdir('a/b'), [])
    top = os.open('a', os.O_RDONLY | os.O_DIRECTORY)
    os.mkdir('b2', dir_fd=top)
    os.rename('b', 'b3', src_dir_fd=top, dst_dir_fd=top)
    equal(sorted(os.listdir(top)), ['b2', 'b3'])
    equal(os.stat('a/..').st_ino, os.stat('.').st_ino)


@check
def wrong_directories():
    write('file', b'')
    fails(errno.EEXIST, os.mkdir, 'file')
    fails(errno.ENOTDIR, os.mkdir, 'file/below')
    fails(errno.ENOENT, os.mkdir, 'missing/below')
    fails(errno.ENOTDIR, os.rmdir, 'file')
    fails(errno.ENOENT, os.rmdir, 'missing')
    fails(errno.ENOTDIR, os.listdir, 'file')
    os.symlink('nowhere', 'dangling')
    fails(errno.EEXIST, os.mkdir, 'dangling')


@check
def removed_while_open():
    os.mkdir('gone')
    fd = os.open('gone', os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir('gone')
    equal(os.listdir(fd), [])
    equal(stat.S_ISDIR(os.fstat(fd).st_mode), True)
    fails(errno.ENOENT, os.open, 'file', os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    os.mkdir('gone')
    fails(errno.ENOENT, os.stat, 'file', dir_fd=fd)


@check
def listing():
    """A directory with 2,000 files of the other side, while others come and go."""
    os.chdir(f'{support.export}/listing')
    expected = {f'file-{number}' for number in range(2000)}
    equal(set(os.listdir('.')), expected)
    seen, made = [], set()
    with os.scandir('.') as entries:
        for number, entry in enumerate(entries):
            seen.append(entry.name)
            if number % 20 == 0:
                write(f'other-{number}', b'')
                made.add(number)
                if number >= 40:
                    os.unlink(f'other-{number - 40}')
                    made.discard(number - 40)
    originals = [name for name in seen if name.startswith('file-')]
    equal(len(originals), 2000)
    equal(set(originals), expected)
    equal(sum(name.startswith('file-') for name in os.listdir('.')), 2000)
    fd = os.open('.', os.O_RDONLY)
    equal(len(os.listdir(fd)), len(os.listdir(fd)))  # rewound
    for entry in os.scandir('.'):
        if entry.name == 'file-7':
            equal((entry.inode(), entry.is_file(follow_symlinks=False)), (os.stat('file-7').st_ino, True))
    for number in made:
        os.unlink(f'other-{number}')


@check
def types_and_numbers():
    """What a listing says of each entry is what stat(2) says."""
    write('file', b'')
    os.mkdir('directory')
    os.symlink('file', 'link')
    os.mkfifo('fifo')
    kinds = {'file': 8, 'directory': 4, 'link': 10, 'fifo': 1, '.': 4, '..': 4}
    found = {}
    stream = Stream()
    for entry in iter(stream.next, None):
        name = entry.name.decode()
        found[name] = entry.type
        equal((name, entry.ino), (name, os.lstat(name).st_ino))
    equal(found, kinds)


@check
def places_in_a_listing():
    """telldir and seekdir: each place leads to the entry that was read there, in any order."""
    for number in range(100):
        os.mknod(f'entry-{number}')
    stream = Stream()
    places = []
    while True:
        place = stream.tell()
        entry = stream.next()
        if entry is None: break
        places.append((place, entry.name))
    equal(len(places), 102)
    random.Random(1).shuffle(places)
    for place, name in places:
        stream.seek(place)
        equal(stream.next().name, name)
    stream.rewind()
    equal(len(stream.names()), 102)


@check
def places_while_entries_go():
    """A place leads on to the same entries after others, read before, were removed and new ones came."""
    for number in range(120):
        os.mknod(f'entry-{number}')
    stream = Stream()
    before = [stream.next().name.decode() for _ in range(60)]
    place = stream.tell()
    after = stream.names()
    for name in before[::2]:
        if name not in ('.', '..'): os.unlink(name)
    for number in range(20):
        os.mknod(f'new-{number}')
    stream.seek(place)
    rest = [name for name in stream.names() if not name.startswith('new-')]
    equal(sorted(rest), sorted(after))


@check
def hundred_thousand():
    """All are listed once; while some of them are removed; places hold."""
    os.chdir(f'{support.export}/many')
    present = set(os.listdir('.'))
    assert len(present) > 95_000, len(present)
    stream = Stream()
    seen, places = [], []
    doomed = sorted(present)[::500]
    for number in range(200_000):
        if number % 10_000 == 0: places.append((stream.tell(), number))
        entry = stream.next()
        if entry is None: break
        seen.append(entry.name.decode())
        if number % 500 == 250 and doomed:
            os.unlink(doomed.pop())
    equal(len(seen), len(set(seen)))
    lost = present - set(seen)
    assert len(lost) <= 200, len(lost)  # those alone that were removed before they came
    now = set(os.listdir('.'))
    equal(lost & now, set())
    for place, number in reversed(places):
        stream.seek(place)
        following = stream.next().name.decode()
        following_still_there = next(name for name in seen[number:] if name in now or name in ('.', '..'))
        assert following in (seen[number], following_still_there), (number, following)


@check
def emptied_while_read():
    """What rm -r does: each entry is removed as it comes."""
    for number in range(200):
        os.mknod('n' * 240 + f'-{number}')  # more than one getdents(2) takes
    with os.scandir('.') as entries:
        for entry in entries:
            os.unlink(entry.name)
    equal(os.listdir('.'), [])
    os.chdir('..')
    os.rmdir('emptied_while_read')
    os.mkdir('emptied_while_read')


@check
def made_by_many():
    """Four processes make, rename and remove in one directory."""
    def work(name):
        for number in range(20):
            write(f'{name}-{number}', b'%d' % number)
            os.rename(f'{name}-{number}', f'{name}-{number}-done')
            if number % 2: os.unlink(f'{name}-{number}-done')
    for pid in [support.in_child(lambda name=name: work(name)) for name in range(4)]:
        equal(support.exit_code(pid), 0)
    equal(sorted(os.listdir('.')), sorted(f'{n}-{i}-done' for n in range(4) for i in range(0, 20, 2)))


@check
def threads():
    """Many requests at once over one connection."""
    problems = []
    def work(name):
        try:
            for number in range(20):
                path, data = f'{name}-{number}', os.urandom(20_000)
                write(path, data)
                equal(read(path), data)
                os.rename(path, f'{path}.done')
        except BaseException as error:
            problems.append(error)
    running = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in running: thread.start()
    for thread in running: thread.join()
    equal(problems, [])
    equal(len(os.listdir('.')), 160)
