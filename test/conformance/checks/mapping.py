"""Files mapped into memory, and programs, which are."""

import errno, mmap, os, shutil, signal, subprocess, time

import support
from support import check, equal, exit_code, fails, in_child, read, write

PAGE = 4096
SIZE = 3 * PAGE + 100


def mapped(name='mapped', size=SIZE):
    write(name, b'.' * size)
    fd = os.open(name, os.O_RDWR)
    return fd, mmap.mmap(fd, size)


@check
def mapping():
    fd, view = mapped()
    view[4090:4102] = b'across pages'
    view[SIZE - 4:] = b'tail'
    view.flush()  # before Linux 6.4 a read misses what is only in a mapping
    equal(read('mapped')[4090:4102], b'across pages')
    private = mmap.mmap(fd, SIZE, mmap.MAP_PRIVATE)
    private[0:5] = b'never'
    other = in_child(lambda: view.__setitem__(slice(8192, 8197), b'child'))
    equal(exit_code(other), 0)
    equal(view[8192:8197], b'child')
    os.pwrite(fd, b'call', 100)
    equal((view[100:104], read('mapped')[100:104]), (b'call', b'call'))
    view.flush()
    equal((read('mapped')[100:104], view[100:104], private[0:5]), (b'call', b'call', b'never'))


@check
def mapping_and_calls():
    """A page changed through a mapping, read and written with calls before it was flushed."""
    fd, view = mapped()
    view[0:4] = b'view'
    equal(os.pread(fd, 4, 0), b'view')
    os.pwrite(fd, b'both', 200)
    view.flush()
    equal((read('mapped')[0:4], read('mapped')[200:204], view[200:204]), (b'view', b'both', b'both'))


@check
def mapping_of_a_removed_file():
    fd, view = mapped('unlinked', PAGE)
    os.unlink('unlinked')
    view[0:1] = b'U'
    equal(view[0:3], b'U..')
    view.flush()
    equal(os.pread(fd, 3, 0), b'U..')


@check
def mapping_of_two_descriptors():
    """Two who open a file and map it see each other at once."""
    fd, view = mapped()
    other = mmap.mmap(os.open('mapped', os.O_RDWR), SIZE)
    view[10:13] = b'one'
    equal(other[10:13], b'one')
    other[5000:5003] = b'two'
    equal(view[5000:5003], b'two')
    def child():
        mine = mmap.mmap(os.open('mapped', os.O_RDWR), SIZE)
        equal((mine[10:13], mine[5000:5003]), (b'one', b'two'))
        mine[9000:9005] = b'three'
    equal(exit_code(in_child(child)), 0)
    equal(view[9000:9005], b'three')


@check
def mapping_after_the_descriptor():
    """The mapping outlives the descriptor, and what is written through it reaches the file."""
    fd, view = mapped()
    os.close(fd)
    view[0:3] = b'yes'
    view.flush()
    view.close()
    equal(read('mapped')[:4], b'yes.')


@check
def mapping_read_only():
    write('file', b'contents')
    fd = os.open('file', os.O_RDONLY)
    equal(mmap.mmap(fd, 8, access=mmap.ACCESS_READ)[:], b'contents')
    fails(errno.EACCES, mmap.mmap, fd, 8, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    private = mmap.mmap(fd, 8, mmap.MAP_PRIVATE)
    private[0:1] = b'C'
    equal((private[:], read('file')), (b'Contents', b'contents'))


@check
def mapping_past_the_end():
    """The rest of the last page is zeros, and does not reach the file."""
    fd, view = mapped('file', 100)
    whole = mmap.mmap(fd, 0)
    equal(len(whole), 100)
    os.ftruncate(fd, 50)
    os.ftruncate(fd, 200)
    equal(os.pread(fd, 200, 0), b'.' * 50 + b'\0' * 150)
    equal(mmap.mmap(fd, 200)[:], b'.' * 50 + b'\0' * 150)


@check
def truncated_while_mapped():
    """What lies beyond the new end is SIGBUS; what comes back is zeros."""
    fd, view = mapped()
    equal(view[2 * PAGE:2 * PAGE + 1], b'.')
    os.ftruncate(fd, PAGE)
    def touch():
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        return view[2 * PAGE]
    equal(exit_code(in_child(touch)), -signal.SIGBUS)
    equal(view[0:1], b'.')
    os.ftruncate(fd, SIZE)
    equal((view[2 * PAGE], view[SIZE - 1]), (0, 0))


@check
def unflushed():
    """Written through a mapping and left so: it must come home by itself."""
    size = 1 << 20
    fd = os.open('mapped', os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size + 7)
    view = mmap.mmap(fd, size + 7)
    for at in range(0, size, 4096):
        view[at:at + 8] = at.to_bytes(8, 'little')
    view[size:] = b'the end'


@check
def tails_mapped():
    """The other side's files, mapped: every byte, also of the last page."""
    for name in os.listdir(f'{support.export}/tails'):
        size = int(name)
        with open(f'{support.export}/tails/{name}', 'rb') as file:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            equal(view[:], bytes(i * 7 % 251 for i in range(size)))


@check
def programs():
    """A program and a script, made and run here."""
    shutil.copy('/bin/true', 'program')
    os.chmod('program', 0o755)
    equal(subprocess.run(['./program']).returncode, 0)
    write('script', b'#!/bin/sh\necho "$0 $1"; exit 7\n', mode=0o777)
    done = subprocess.run(['./script', 'argument'], capture_output=True)
    equal((done.returncode, done.stdout), (7, b'./script argument\n'))
    os.chmod('program', 0o644)
    fails(errno.EACCES, os.execv, './program', ['program'])


@check
def busy_programs():
    """A program that runs is not written to; it may be removed, and another take its name."""
    shutil.copy('/bin/sleep', 'program')
    os.chmod('program', 0o755)
    running = subprocess.Popen(['./program', '60'])
    try:
        wait_for_exec(running.pid)
        fails(errno.ETXTBSY, os.open, 'program', os.O_WRONLY)
        fails(errno.ETXTBSY, os.truncate, 'program', 0)
        os.unlink('program')
        shutil.copy('/bin/true', 'program')
        os.chmod('program', 0o755)
        equal(subprocess.run(['./program']).returncode, 0)
        equal(running.poll(), None)
    finally:
        running.kill()
        running.wait()


@check
def written_programs():
    """A program that is open for writing does not start."""
    shutil.copy('/bin/true', 'program')
    os.chmod('program', 0o755)
    fd = os.open('program', os.O_WRONLY)
    fails(errno.ETXTBSY, subprocess.run, ['./program'])
    os.close(fd)
    equal(subprocess.run(['./program']).returncode, 0)


def wait_for_exec(pid):
    """Until the child is the program, and no longer a copy of this one."""
    for _ in range(500):
        if read(f'/proc/{pid}/comm') == b'program\n': return
        time.sleep(0.02)
    raise AssertionError('the program did not start')
