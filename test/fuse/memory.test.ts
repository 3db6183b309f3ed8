// What a kernel that knows many files can make the server keep in memory.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { eventually } from '../fixtures/cpu-command.js'
import { FuseClient } from '../fixtures/fuse-client.js'
import { mountDirectoryByFuse } from '../fixtures/fuse-mounted.js'
import { memoryDirectory, temporaryDirectory } from '../fixtures/temporary-directory.js'

const run = promisify(execFile)
const MiB = 1 << 20

/** The most memory that a process ever had. */
function peak(pid: number): number {
  const [, kiB] = /VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))!
  return Number(kiB) * 1024
}

t.test('a hundred thousand files, also when changes were lost', { timeout: 120_000 }, async t => {
  const here = memoryDirectory(t)
  for (let i = 0; i < 500; i++) {
    fs.mkdirSync(path.join(here, `d${i}`))
    for (let k = 0; k < 200; k++) fs.writeFileSync(path.join(here, `d${i}/file-${k}.txt`), '')
  }
  const { there, pid } = await mountDirectoryByFuse(t, here)
  const before = peak(pid)
  const find = ['-c', 'find . -name "*.txt" -size 0 | wc -l']
  t.equal((await run('sh', find, { cwd: there })).stdout, '100000\n')
  const used = peak(pid) - before
  t.ok(used < 200 * MiB, `${Math.round(used / MiB)} MiB`)

  process.kill(pid, 'SIGSTOP')
  const queue = Number(fs.readFileSync('/proc/sys/fs/fanotify/max_queued_events', 'utf8'))
  for (let i = 0; i <= queue; i++) fs.writeFileSync(path.join(here, `d0/new-${i}`), '')
  fs.writeFileSync(path.join(here, 'd499/file-199.txt'), 'changed')
  process.kill(pid, 'SIGCONT')
  const isSeen = () => fs.statSync(path.join(there, 'd499/file-199.txt')).size > 0
  t.ok(await eventually(isSeen, 20_000))
  const usedThen = peak(pid) - before
  t.ok(usedThen < 200 * MiB, `${Math.round(usedThen / MiB)} MiB`)
})

t.test('what is forgotten is let go, and names that are absent are not kept without end', async t => {
  const root = temporaryDirectory(t)
  for (let i = 0; i < 1000; i++) fs.writeFileSync(path.join(root, `f${i}`), '')
  const tree = openLocalTree(root)
  const client = new FuseClient(tree, { maxNodes: 20_000 })
  t.teardown(async () => {
    client.stream.destroy()
    await client.served
    tree.dispose()
  })
  await client.init(38)
  const nodes = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.lookup(1, `f${i}`)))
  for (const node of nodes) void client.call('FORGET', node, { nlookup: 1n })
  t.equal((await client.call('GETATTR', 1)).error, '')
  t.same(tree.size, { inodes: 1, descriptors: 1 })

  for (let i = 0; i < 100; i++)
    await Promise.all(Array.from({ length: 1000 }, (_, k) => client.call('LOOKUP', 1, { name: `${i} ${k}` })))
  const expired = () => client.notifications.filter(message => message.readInt32LE(4) === 3).length
  t.ok(await eventually(() => expired() > 80_000), 'they are taken back')
})
