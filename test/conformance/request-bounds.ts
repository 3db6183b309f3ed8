// What test/e2e/requests.test.ts counted: requests of each operation, for each kernel's way of asking. `-` parts the
// operations from what else operations.c does.
import type { FileProtocol } from '../../src/namespace/file-protocol.js'

export interface RequestBounds {
  readonly operations: Readonly<Record<string, number>>
  readonly sessions: Readonly<Record<string, number>>
}

const ninep61: RequestBounds = {
  operations: {
    'mount and start': 15,
    'stat a file': 4,
    'stat it again': 4,
    'stat a file below': 7,
    'stat a missing file': 1,
    'stat a missing file below': 4,
    'open, read, close': 7,
    'open, read, close again': 7,
    'open, read, close below': 10,
    'read 1 MiB': 8,
    'read 1 MiB again': 8,
    'map and read 1 MiB': 6,
    'create, write, close': 8,
    append: 7,
    'truncate and rewrite': 9,
    'write 1 MiB': 9,
    'list 20 entries with lstat': 92,
    'list them again': 92,
    rename: 9,
    link: 5,
    unlink: 4,
    mkdir: 4,
    rmdir: 4,
    symlink: 2,
    readlink: 4,
    'stat through a link': 8,
    mkfifo: 4,
    chmod: 4,
    'set times': 4,
    truncate: 5,
    statfs: 4,
    'lock and unlock': 2,
    'run a program of 1 MB': 10,
    'run it again': 10,
  },
  sessions: { 'a static program, nothing bound': 23 },
}

const fuse61: RequestBounds = {
  operations: {
    'mount and start': 15,
    'stat a file': 1,
    'stat it again': 0,
    'stat a file below': 2,
    'stat a missing file': 1,
    'stat a missing file below': 1,
    'open, read, close': 2,
    'open, read, close again': 0,
    'open, read, close below': 1,
    'read 1 MiB': 9,
    'read 1 MiB again': 0,
    'map and read 1 MiB': 0,
    'create, write, close': 5,
    append: 1,
    'truncate and rewrite': 3,
    'write 1 MiB': 5,
    'list 20 entries with lstat': 5,
    'list them again': 1,
    rename: 3,
    link: 3,
    unlink: 2,
    mkdir: 3,
    rmdir: 2,
    symlink: 3,
    readlink: 1,
    'stat through a link': 1,
    mkfifo: 3,
    chmod: 1,
    'set times': 1,
    truncate: 2,
    statfs: 1,
    'lock and unlock': 0,
    'run a program of 1 MB': 10,
    'run it again': 0,
  },
  sessions: { 'a static program, nothing bound': 16 },
}

export const REQUEST_BOUNDS: Readonly<Record<FileProtocol, Readonly<Record<string, RequestBounds>>>> = {
  '9p': { '6.1': ninep61 },
  fuse: { '6.1': fuse61 },
}
