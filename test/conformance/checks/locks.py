"""Advisory locks: fcntl(2) and flock(2)."""

import errno, fcntl, os, signal, struct, time

import support
from support import check, equal, exit_code, fails, in_child, number_of, write

EXCLUSIVE, SHARED, AT_ONCE = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_NB
OFD_SETLK = 37  # F_OFD_SETLK, asm-generic/fcntl.h


def opened(path='locked', flags=os.O_RDWR):
    return os.open(path, flags | os.O_CREAT)


def conflicts(take, *arguments):
    """Whether another process can not have the lock."""
    def other():
        told = number_of(take, opened(), *arguments)
        return {None: 0, 'EAGAIN': 1, 'EACCES': 1}[told]
    return exit_code(in_child(other)) == 1


def of_both_kinds(function):
    """The check, once with flock and once with fcntl."""
    for name, take in {'flock': fcntl.flock, 'fcntl': fcntl.lockf}.items():
        def one(take=take):
            write('locked', b'x' * 100)
            function(take)
        one.__name__ = f'{function.__name__}_{name}'
        check(one)


@of_both_kinds
def locking(take):
    """Excluding, waiting and being woken, sharing."""
    fd = opened()
    take(fd, EXCLUSIVE)
    assert conflicts(take, EXCLUSIVE | AT_ONCE)
    assert conflicts(take, SHARED | AT_ONCE)
    def other():
        mine = opened()
        take(mine, EXCLUSIVE)  # waits
        return 0 if os.path.exists('released') else 1
    pid = in_child(other)
    time.sleep(0.5)
    write('released', b'')
    begun = time.monotonic()
    take(fd, fcntl.LOCK_UN)
    equal(exit_code(pid), 0)
    assert time.monotonic() - begun < 20, 'woken by a time-out'
    os.unlink('released')
    take(fd, SHARED)
    assert not conflicts(take, SHARED | AT_ONCE)
    assert conflicts(take, EXCLUSIVE | AT_ONCE)


@of_both_kinds
def lock_ends_with_close(take):
    fd = opened()
    take(fd, EXCLUSIVE)
    assert conflicts(take, EXCLUSIVE | AT_ONCE)
    os.close(fd)
    assert not conflicts(take, EXCLUSIVE | AT_ONCE)


@of_both_kinds
def lock_ends_with_the_process(take):
    def dies():
        take(opened(), EXCLUSIVE)
        os.kill(os.getpid(), signal.SIGKILL)
    equal(exit_code(in_child(dies)), -signal.SIGKILL)
    take(opened(), EXCLUSIVE | AT_ONCE)


@of_both_kinds
def lock_turned(take):
    """From exclusive to shared and back, without a time between without a lock."""
    fd = opened()
    take(fd, EXCLUSIVE)
    take(fd, SHARED | AT_ONCE)
    assert not conflicts(take, SHARED | AT_ONCE)
    assert conflicts(take, EXCLUSIVE | AT_ONCE)
    take(fd, EXCLUSIVE | AT_ONCE)
    assert conflicts(take, SHARED | AT_ONCE)


@of_both_kinds
def waiting_for_a_lock_interrupted(take):
    """A signal ends the waiting; the lock then is the next one's."""
    fd = opened()
    take(fd, EXCLUSIVE)
    def waits():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        take(opened(), EXCLUSIVE)
    pid = in_child(waits)
    time.sleep(0.3)
    os.kill(pid, signal.SIGTERM)
    equal(exit_code(pid), -signal.SIGTERM)
    take(fd, fcntl.LOCK_UN)
    assert not conflicts(take, EXCLUSIVE | AT_ONCE)


@check
def flock_belongs_to_the_open_file():
    write('locked', b'')
    first, second = opened(), opened()
    fcntl.flock(first, EXCLUSIVE)
    fails(errno.EAGAIN, fcntl.flock, second, EXCLUSIVE | AT_ONCE)
    copy = os.dup(first)
    os.close(first)
    fails(errno.EAGAIN, fcntl.flock, second, EXCLUSIVE | AT_ONCE)
    def child():
        os.close(copy)
    equal(exit_code(in_child(child)), 0)
    fails(errno.EAGAIN, fcntl.flock, second, EXCLUSIVE | AT_ONCE)
    os.close(copy)
    fcntl.flock(second, EXCLUSIVE | AT_ONCE)


@check
def flock_survives_another_close():
    write('locked', b'')
    fcntl.flock(opened(), EXCLUSIVE)
    os.close(opened())
    assert conflicts(fcntl.flock, EXCLUSIVE | AT_ONCE)


@check
def flock_asks_for_no_mode():
    write('locked', b'')
    fd = opened(flags=os.O_RDONLY)
    fcntl.flock(fd, EXCLUSIVE)
    assert conflicts(fcntl.flock, SHARED | AT_ONCE)


@check
def posix_locks_ask_for_a_mode():
    write('locked', b'')
    fails(errno.EBADF, fcntl.lockf, opened(flags=os.O_RDONLY), EXCLUSIVE | AT_ONCE)
    fails(errno.EBADF, fcntl.lockf, opened(flags=os.O_WRONLY), SHARED | AT_ONCE)


@check
def posix_locks_end_with_any_close():
    write('locked', b'')
    kept = opened()
    fcntl.lockf(kept, EXCLUSIVE)
    os.close(opened())
    assert not conflicts(fcntl.lockf, EXCLUSIVE | AT_ONCE)


@check
def ranges():
    write('locked', b'x' * 100)
    fd = opened()
    fcntl.lockf(fd, EXCLUSIVE, 10, 20)
    def others():
        mine = opened()
        fails(errno.EAGAIN, fcntl.lockf, mine, EXCLUSIVE | AT_ONCE, 1, 29)
        fails(errno.EAGAIN, fcntl.lockf, mine, EXCLUSIVE | AT_ONCE, 0, 0)
        fcntl.lockf(mine, EXCLUSIVE | AT_ONCE, 20, 0)
        fcntl.lockf(mine, EXCLUSIVE | AT_ONCE, 0, 30)
        fcntl.lockf(mine, EXCLUSIVE | AT_ONCE, 10, 1 << 40)
    equal(exit_code(in_child(others)), 0)
    fcntl.lockf(fd, fcntl.LOCK_UN, 4, 24)  # a hole
    def again():
        mine = opened()
        fcntl.lockf(mine, EXCLUSIVE | AT_ONCE, 4, 24)
        fails(errno.EAGAIN, fcntl.lockf, mine, EXCLUSIVE | AT_ONCE, 4, 20)
        fails(errno.EAGAIN, fcntl.lockf, mine, EXCLUSIVE | AT_ONCE, 2, 28)
    equal(exit_code(in_child(again)), 0)


def in_the_way(fd, kind=fcntl.F_WRLCK, start=0, length=0):
    """F_GETLK: type, start and length of the lock in the way, and its process."""
    record = struct.pack('hhqqi', kind, os.SEEK_SET, start, length, 0)
    kind, _, start, length, pid = struct.unpack('hhqqi', fcntl.fcntl(fd, fcntl.F_GETLK, record))
    return None if kind == fcntl.F_UNLCK else (kind, start, length, pid)


@check
def who_is_in_the_way():
    write('locked', b'x' * 100)
    fd = opened()
    equal(in_the_way(fd), None)
    fcntl.lockf(fd, EXCLUSIVE, 10, 20)
    pid = os.getpid()
    def other():
        mine = opened()
        equal(in_the_way(mine), (fcntl.F_WRLCK, 20, 10, pid))
        equal(in_the_way(mine, fcntl.F_RDLCK, 25, 100), (fcntl.F_WRLCK, 20, 10, pid))
        equal(in_the_way(mine, fcntl.F_WRLCK, 30, 10), None)
    equal(exit_code(in_child(other)), 0)


@check
def locks_of_open_files():
    """F_OFD_SETLK: two open files of one process are in each other's way."""
    write('locked', b'')
    def take(fd, kind):
        fcntl.fcntl(fd, OFD_SETLK, struct.pack('hhqqi', kind, os.SEEK_SET, 0, 0, 0))
    first, second = opened(), opened()
    take(first, fcntl.F_WRLCK)
    fails(errno.EAGAIN, take, second, fcntl.F_WRLCK)
    os.close(opened())
    fails(errno.EAGAIN, take, second, fcntl.F_RDLCK)
    take(first, fcntl.F_UNLCK)
    take(second, fcntl.F_WRLCK)


@check
def counted_under_a_lock():
    """Four processes add to a number in a file: with locks, none is lost."""
    write('locked', b'0')
    def adder():
        for _ in range(5):
            fd = opened()
            fcntl.lockf(fd, EXCLUSIVE)
            number = int(os.pread(fd, 20, 0))
            os.pwrite(fd, b'%d' % (number + 1), 0)
            os.close(fd)
    for pid in [in_child(adder) for _ in range(4)]:
        equal(exit_code(pid), 0)
    equal(support.read('locked'), b'20')


@check
def locks_of_the_other_side():
    """`held` is locked by a process of the other side, from its first byte to its tenth."""
    fd = os.open(f'{support.export}/held', os.O_RDWR)
    fails(errno.EAGAIN, fcntl.lockf, fd, EXCLUSIVE | AT_ONCE)
    fails(errno.EAGAIN, fcntl.lockf, fd, SHARED | AT_ONCE, 1, 9)
    fcntl.lockf(fd, EXCLUSIVE | AT_ONCE, 10, 10)
