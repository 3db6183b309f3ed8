// What is known of what the kernel was told is bounded, and so is the kernel's queue of changes: nothing that was told
// is wrong for that.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { openLocalTree } from '../../src/fs/local-tree.js'
import { eventually } from '../fixtures/cpu-command.js'
import { change, seen } from '../fixtures/files-seen.js'
import { FuseClient } from '../fixtures/fuse-client.js'
import { mountByFuse, mountDirectoryByFuse } from '../fixtures/fuse-mounted.js'
import { Random } from '../fixtures/random.js'
import { memoryDirectory, temporaryDirectory } from '../fixtures/temporary-directory.js'

const run = promisify(execFile)
const limitMs = 10_000

/** Has a program wait in the directory; what it says its path is, once it may. */
function standIn(t: Test, directory: string): () => Promise<string> {
  const program = spawn('sh', ['-c', 'read line; /bin/pwd'], { cwd: directory })
  t.teardown(() => program.kill())
  return async () => {
    program.stdin.end('\n')
    const [line] = await once(program.stdout, 'data')
    return String(line).trimEnd()
  }
}

const directories = Array.from({ length: 12 }, (_, i) => `d${i}`)
const files = directories.flatMap(name => [`${name}/a`, `${name}/b`])
const names = ['', ...directories, ...files]

function makeDirectories(root: string): void {
  for (const name of [...directories, 'stay/here']) fs.mkdirSync(path.join(root, name), { recursive: true })
}

for (const [what, limits] of [
  ['fewer watches than directories', { maxWatched: 5 }],
  ['fewer names than there are', { maxNodes: 40 }],
] as const) {
  t.test(`every change is seen with ${what}`, async t => {
    const { here, there } = await mountByFuse(t, 'auto', makeDirectories, limits)
    const pathInside = standIn(t, path.join(there, 'stay/here'))
    const random = new Random(9)
    const missed: string[] = []
    for (let round = 0; round < 60; round++) {
      seen(there, names)
      const done = change(here, files, directories, random, round)
      const expected = seen(here, names)
      if (!(await eventually(() => seen(there, names) === expected, limitMs, 5))) missed.push(done)
    }
    t.same(missed, [])
    t.equal(await pathInside(), `${there}/stay/here`, 'who is in a directory keeps its path')
  })
}

t.test('a tree of more files than may be known can be walked through', async t => {
  const here = memoryDirectory(t)
  for (let i = 0; i < 60; i++) {
    fs.mkdirSync(path.join(here, `d${i}`))
    for (let k = 0; k < 200; k++) fs.writeFileSync(path.join(here, `d${i}`, `f${k}`), '')
  }
  const { there } = await mountDirectoryByFuse(t, here, 'auto', { maxNodes: 8000 })
  for (let round = 0; round < 2; round++)
    t.equal((await run('sh', ['-c', 'find . -type f -size 0 | wc -l'], { cwd: there })).stdout, '12000\n')
})

t.test('when changes are lost, all is looked at again', async t => {
  const here = memoryDirectory(t)
  const at = (name: string) => path.join(here, name)
  for (const name of ['flood', 'sub', 'gone', 'swapped', 'swapped2']) fs.mkdirSync(at(name))
  for (const name of ['a', 'b', 'c', 'e', 'open', 'sub/x']) fs.writeFileSync(at(name), 'before')
  const { there, pid, messages } = await mountDirectoryByFuse(t, here)
  const names = ['', 'a', 'b', 'c', 'e', 'new', 'open', 'flood', 'sub', 'sub/x', 'sub/new', 'gone', 'swapped']
  t.equal(seen(there, names), seen(here, names))
  const open = fs.openSync(path.join(there, 'open'), 'r')
  t.teardown(() => fs.closeSync(open))
  const pathInside = standIn(t, path.join(there, 'sub'))

  process.kill(pid, 'SIGSTOP')
  const queue = Number(fs.readFileSync('/proc/sys/fs/fanotify/max_queued_events', 'utf8'))
  for (let i = 0; i <= queue; i++) fs.closeSync(fs.openSync(path.join(here, 'flood', `f${i}`), 'w'))
  fs.writeFileSync(at('a'), 'afterw')
  fs.rmSync(at('b'))
  fs.renameSync(at('a'), at('c'))
  fs.chmodSync(at('e'), 0o600)
  fs.appendFileSync(at('open'), ' and after')
  fs.writeFileSync(at('new'), 'new')
  fs.writeFileSync(at('sub/new'), 'new')
  fs.rmdirSync(at('gone'))
  fs.renameSync(at('swapped2'), at('swapped'))
  process.kill(pid, 'SIGCONT')

  const expected = seen(here, names)
  const isSeen = await eventually(() => seen(there, names) === expected, limitMs, 5)
  if (!isSeen) t.equal(seen(there, names), expected)
  t.ok(isSeen)
  t.equal(fs.fstatSync(open).size, 'before and after'.length, 'also through what was open')
  t.equal(fs.readFileSync(open, 'latin1'), 'before and after')
  t.equal(await pathInside(), `${there}/sub`, 'who is in a directory keeps its path')
  t.notOk(messages.some(line => line.startsWith('end')))
})

t.test('names that are taken back', async t => {
  const root = temporaryDirectory(t)
  for (const name of ['d1', 'd2', 'd3', 'd1/sub']) fs.mkdirSync(path.join(root, name))
  fs.writeFileSync(path.join(root, 'd1/f'), '')
  for (const minor of [31, 38]) {
    const tree = openLocalTree(root, { maxWatched: 4 })
    const client = new FuseClient(tree)
    await client.init(minor)
    const lookUp = async (directory: number, name: string) => {
      const { body } = await client.call('LOOKUP', directory, { name })
      return { node: Number(body.readBigUInt64LE(0)), seconds: Number(body.readBigUInt64LE(16)) }
    }
    const { node: first } = await lookUp(1, 'd1')
    for (const name of ['sub', 'f', 'absent']) t.ok((await lookUp(first, name)).seconds > 1000)
    const used = [await lookUp(first, 'sub'), await lookUp(1, 'd2'), { node: 1 }]
    for (const { node } of used) await lookUp(node, 'nothing')
    const { node: last } = await lookUp(1, 'd3')
    const { seconds } = await lookUp(last, 'absent')
    const told = () =>
      client.notifications
        .filter(message => message.readInt32LE(4) === 3 && Number(message.readBigUInt64LE(16)) === first)
        .map(message => `${message.toString('latin1', 32, message.length - 1)} ${message.readUInt32LE(28)}`)
    if (minor < 38) {
      t.equal(seconds, 1, 'a kernel that cannot expire names: what is watched stays so')
      t.same(told(), [])
    } else {
      t.ok(seconds > 1000, 'what was used last is watched')
      t.ok(await eventually(() => told().length >= 3))
      t.same(new Set(told()), new Set(['sub 1', 'f 1', 'absent 1']), 'expired, not dropped')
    }
    client.stream.destroy()
    await client.served
    tree.dispose()
  }
})
