"""What the other side's system refuses to a server without a superuser's rights. Programs here may be root all the
same: it is the server's rights that count."""

import errno, os

import support
from support import check_on_demand, equal, fails, read


@check_on_demand
def refused_by_the_other_side():
    """`private` is another user's, `closed` a directory that its owner may not write to."""
    private, closed = f'{support.export}/private', f'{support.export}/closed'
    fails(errno.EACCES, os.open, private, os.O_RDONLY)
    fails(errno.EACCES, os.open, private, os.O_WRONLY)
    fails((errno.EACCES, errno.EPERM), os.truncate, private, 0)
    fails(errno.EPERM, os.chmod, private, 0o666)
    fails(errno.EPERM, os.chown, private, 0, 0)
    fails(errno.EPERM, os.utime, private, (1, 1))
    fails(errno.EACCES, os.open, f'{closed}/new', os.O_CREAT | os.O_WRONLY)
    fails(errno.EACCES, os.mkdir, f'{closed}/new')
    fails(errno.EACCES, os.symlink, 'x', f'{closed}/new')
    fails(errno.EACCES, os.link, f'{closed}/file', f'{closed}/new')
    fails(errno.EACCES, os.rename, f'{closed}/file', f'{closed}/new')
    fails(errno.EACCES, os.unlink, f'{closed}/file')
    fails(errno.EPERM, os.mknod, 'null', 0o20666, os.makedev(1, 3))
    equal(read(f'{closed}/file'), b'to be read')
