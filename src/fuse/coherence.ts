// What the kernel there may keep without asking, and how it is told that this does not hold any more. Each directory
// of which it is told a name is watched first; a change made by somebody else is pushed to it.

import type { ByteString, FileTree, TreeChange, TreeNode, TreeWatcher } from '../fs/tree.js'
import { Writer } from '../wire/fields.js'
import type { NodeTable } from './node-table.js'
import { notifyCode, replyHeaderSize } from './protocol.js'
import { type CachePolicy, putReplyHeader } from './session.js'

/** As long as a session lasts. */
const longValidity = 1_000_000
/** Where changes cannot be watched. */
const shortValidity = 1
/**
 * A push can overtake the answer that it takes back: both wait for the process that asked to run. So each is
 * repeated when that has had its time.
 */
const repeatAfterMs = 500
/** When to try again where the other side has not taken what was pushed before, and how much it may leave lying. */
const retryMs = 20
const maxWaiting = 131_072

/** Where notifications go. */
export interface PushChannel {
  /** Sends them all; false when too much is on its way out already. */
  send(messages: readonly Buffer[]): boolean
  /** The other side does not take them: what it keeps would be wrong. */
  giveUp(): void
}

export class Coherence {
  readonly #policy: CachePolicy
  readonly #tree: FileTree
  readonly #nodes: NodeTable
  readonly #channel: PushChannel
  readonly #watcher: TreeWatcher | undefined
  /** Still to be sent: each once, however often it happened. */
  readonly #waiting = new Map<string, Buffer>()
  readonly #repeats = new Map<string, Buffer>()
  #timer: NodeJS.Timeout | undefined
  #isFlushDue = false
  #isHeld = false
  #isClosed = false

  constructor(policy: CachePolicy, tree: FileTree, nodes: NodeTable, channel: PushChannel) {
    this.#policy = policy
    this.#tree = tree
    this.#nodes = nodes
    this.#channel = channel
    this.#watcher = policy === 'auto' ? tree.watch?.(change => this.#onChange(change)) : undefined
  }

  /** Watches the directory; the seconds for which what is told of it holds. */
  validity(directory: TreeNode): number {
    if (directory.isSynthetic) return 0
    if (this.#policy === 'always') return longValidity
    if (this.#policy === 'strict') return 0
    return this.#watcher?.add(directory) ? longValidity : shortValidity
  }

  forget(node: TreeNode): void {
    this.#watcher?.remove(node)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#watcher?.close()
  }

  #onChange(change: TreeChange): void {
    if (change.kind === 'lost') return this.#invalidateAll()
    const directory = this.#nodes.idOf(change.directory)
    if (directory === undefined) return
    if (change.kind === 'self') return this.#push(inodeMessage(directory, true))
    if (change.kind === 'entry') {
      this.#push(entryMessage(directory, change.name))
      this.#push(inodeMessage(directory, true))
      return
    }
    this.#invalidateChild(change.directory, change.name, change.kind === 'contents')
  }

  #invalidateChild(directory: TreeNode, name: ByteString, contents: boolean): void {
    const node = this.#tree.lookup(directory, name)
    if (typeof node === 'number') return
    const id = this.#nodes.idOf(node)
    this.#tree.release(node)
    if (id !== undefined) this.#push(inodeMessage(id, contents))
  }

  #invalidateAll(): void {
    for (const { id } of this.#nodes.nodes()) this.#push(inodeMessage(id, true))
  }

  #push(message: Buffer): void {
    this.#waiting.set(message.toString('latin1'), message)
    if (this.#isHeld && this.#waiting.size > maxWaiting) this.#channel.giveUp()
    if (this.#isFlushDue) return
    this.#isFlushDue = true
    setImmediate(() => this.#flush())
  }

  /** What came together goes out with one write. */
  #flush(): void {
    if (this.#isClosed) return
    this.#isHeld = !this.#channel.send([...this.#waiting.values()])
    if (this.#isHeld) {
      setTimeout(() => this.#flush(), retryMs).unref()
      return
    }
    this.#isFlushDue = false
    for (const [key, message] of this.#waiting) this.#repeats.set(key, message)
    this.#waiting.clear()
    this.#repeatLater()
  }

  #repeatLater(): void {
    this.#timer ??= setTimeout(() => this.#repeat(), repeatAfterMs).unref()
  }

  #repeat(): void {
    this.#timer = undefined
    if (this.#channel.send([...this.#repeats.values()])) this.#repeats.clear()
    else this.#repeatLater()
  }
}

/** struct fuse_notify_inval_inode_out; the attributes, and all of the contents unless these still hold. */
function inodeMessage(id: number, contents: boolean): Buffer {
  const to = message(notifyCode.invalInode, 24)
  to.u64(BigInt(id))
  to.u64(contents ? 0n : BigInt.asUintN(64, -1n))
  to.u64(0n)
  return to.bytes
}

/** struct fuse_notify_inval_entry_out and the name. */
function entryMessage(directory: number, name: ByteString): Buffer {
  const to = message(notifyCode.invalEntry, 16 + name.length + 1)
  to.u64(BigInt(directory))
  to.u32(name.length)
  to.u32(0)
  to.bytes.write(name, to.skip(name.length), 'latin1')
  to.u8(0)
  return to.bytes
}

/** Notifications look like replies without a request, with their code for an error. */
function message(code: number, size: number): Writer {
  const to = new Writer(Buffer.alloc(replyHeaderSize + size))
  putReplyHeader(to, replyHeaderSize + size, code, 0n)
  return to
}
