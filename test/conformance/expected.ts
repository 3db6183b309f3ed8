// Where a way to files is known not to do what suite.py asks, and whose affair that is. Each of these must fail, and
// nothing else may: one that has come to work is as much of a surprise as one that has ceased to.
import type { Way } from './guest.js'

export interface Difference {
  readonly checks: readonly string[]
  readonly ways: readonly Way[]
  /** Kernels of the guest that have it, as `[major, minor]`: those below, or those from. */
  readonly below?: readonly [number, number]
  readonly from?: readonly [number, number]
  readonly reason: string
}

const FUSE: readonly Way[] = ['fuse', 'fuse-direct']
const NINEP: readonly Way[] = ['9p', '9p-direct', 'virtio-9p']

export const DIFFERENCES: readonly Difference[] = [
  {
    checks: ['set_user_id_and_writing'],
    ways: NINEP,
    reason: 'v9fs does not take the bits away when a user writes, and root, who serves, keeps them',
  },
  {
    checks: ['times_to_the_nanosecond', 'times_before_1970'],
    ways: NINEP,
    reason: 'v9fs sends whole seconds, none before 1970',
  },
  {
    checks: ['mapping_and_calls'],
    ways: NINEP,
    below: [6, 4],
    reason: 'before Linux 6.4 read and write go past the pages that a mapping has changed',
  },
  {
    checks: ['xattrs', 'xattrs_created_and_replaced', 'xattrs_empty', 'xattrs_large'],
    ways: ['9p'],
    from: [6, 4],
    reason:
      'mounted with noxattr, as each write is otherwise preceded by a request; older kernels ignore that',
  },
  {
    checks: ['xattrs', 'xattrs_created_and_replaced', 'xattrs_empty', 'xattrs_large'],
    ways: ['9p-direct'],
    reason: 'noxattr as above, and before Linux 6.6 a tmpfs has no user.* attributes',
  },
  {
    checks: ['xattrs', 'xattrs_created_and_replaced', 'xattrs_empty', 'xattrs_large'],
    ways: ['fuse-direct'],
    below: [6, 6],
    reason: 'a tmpfs had no user.* attributes',
  },
  {
    checks: ['places_while_entries_go', 'hundred_thousand'],
    ways: ['9p-direct'],
    below: [6, 6],
    reason: 'the places in a listing of a tmpfs were the numbers of its entries, which move when one goes',
  },
  {
    checks: ['hundred_thousand'],
    ways: ['fuse-direct'],
    below: [6, 6],
    reason: 'as above; a short listing is kept by the kernel, with its places',
  },
  {
    checks: ['unlinking', 'unlinked_size_alone', 'opened_again_after_unlink', 'renamed_over_and_stat'],
    ways: ['virtio-9p'],
    reason: 'QEMU finds files by their names, which are gone or are those of others',
  },
  {
    checks: ['types_and_numbers', 'modes_of_new_files', 'special', 'device_nodes'],
    ways: ['virtio-9p'],
    reason: 'QEMU sets the mode of a new node by opening it, which it refuses since CVE-2023-2861',
  },
  {
    checks: ['xattrs_empty'],
    ways: ['virtio-9p'],
    reason: 'QEMU takes an empty value for a removal',
  },
  {
    checks: ['statistics_of_each_file_system'],
    ways: ['virtio-9p'],
    reason: 'QEMU rounds the numbers of blocks to blocks of the size of a message',
  },
  {
    checks: ['xattrs', 'xattrs_created_and_replaced', 'xattrs_empty', 'xattrs_large'],
    ways: ['virtiofs'],
    reason: 'virtiofsd has them only when told to',
  },
  {
    checks: ['same_number_elsewhere'],
    ways: ['virtiofs'],
    reason: 'virtiofsd passes inode numbers on, and tells of no second file system unless told to',
  },
  {
    checks: ['locks_of_the_other_side'],
    ways: [...FUSE, 'virtio-9p', 'virtiofs'],
    reason: 'locks stay within the guest (ours, unless -cache strict is said)',
  },
  {
    checks: ['read_only', 'immutable'],
    ways: FUSE,
    reason:
      'files are opened without asking, so the first write is refused and not the open (unless -cache strict)',
  },
]

/** What must fail on that way, under that kernel, with the reason. */
export function expectedFailures(way: Way, release: string): Map<string, string> {
  const applies = ({ ways, below, from }: Difference) =>
    ways.includes(way) &&
    (below === undefined || isBefore(release, below)) &&
    (from === undefined || !isBefore(release, from))
  return new Map(
    DIFFERENCES.filter(applies).flatMap(({ checks, reason }) => checks.map(name => [name, reason] as const)),
  )
}

function isBefore(release: string, [major, minor]: readonly [number, number]): boolean {
  const [, thisMajor, thisMinor] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return Number(thisMajor) < major || (Number(thisMajor) === major && Number(thisMinor) < minor)
}
