// What test/e2e/requests.test.ts counted: requests of each operation, for each kernel's way of asking. `-` parts the
// operations from what else operations.c does.

export interface RequestBounds {
  readonly operations: Readonly<Record<string, number>>
  readonly sessions: Readonly<Record<string, number>>
}

const linux61: RequestBounds = {
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
    'map and read 1 MiB': 6,
    'create, write, close': 8,
    append: 7,
    'truncate and rewrite': 9,
    'write 1 MiB': 9,
    'list 20 entries with lstat': 92,
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

export const REQUEST_BOUNDS: Readonly<Record<string, RequestBounds>> = { '6.1': linux61 }
