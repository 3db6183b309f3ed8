// What the kernel there may keep without asking, and how it is told that this does not hold any more. Each directory
// of which it is told a name is watched first; a change made by somebody else is pushed to it. What it was told is known
// here, and bounded: it can be taken back when changes were lost, or to watch other directories.

import { failure } from '../fs/failure.js'
import type { ByteString, FileTree, TreeChange, TreeNode, TreeWatcher } from '../fs/tree.js'
import { Chores } from './chores.js'
import type { NodeTable } from './node-table.js'
import { entryMessage, inodeMessage } from './notifications.js'
import type { CachePolicy } from './session.js'
import { absent, type Names, ToldNames } from './told-names.js'

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
  /** Whether a name can be had asked about again without being dropped (FUSE 7.38, Linux 6.2). */
  canExpire(): boolean
}

export class Coherence {
  readonly #policy: CachePolicy
  readonly #tree: FileTree
  readonly #nodes: NodeTable
  readonly #channel: PushChannel
  readonly #maxNames: number
  readonly #watcher: TreeWatcher | undefined
  readonly #told = new ToldNames()
  readonly #chores = new Chores(() => !this.#isHeld)
  /** How many names are being taken back. */
  #leaving = 0
  /** Whether changes were lost, since all was looked at last. */
  #isLost = false
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
    this.#maxNames = nodes.maxNodes / 2
    this.#watcher = policy === 'auto' ? tree.watch?.(change => this.#onChange(change)) : undefined
  }

  /** Watches the directory; the seconds for which what is told of it holds. */
  validity(directory: TreeNode): number {
    if (directory.isSynthetic) return 0
    if (this.#policy === 'always') return longValidity
    if (this.#policy === 'strict') return 0
    return this.#watch(directory) ? longValidity : shortValidity
  }

  /** Notes that the name is told, of a node or as `absent`; for how many seconds that holds. */
  told(directory: TreeNode, name: ByteString, id: number): number {
    const hasRoom =
      this.#told.size < this.#maxNames || this.#takeBack(this.#told.oldest(directory) ?? directory)
    if (hasRoom) this.#told.add(directory, name, id)
    const validity = this.validity(directory)
    return hasRoom ? validity : Math.min(validity, shortValidity)
  }

  /** The kernel has moved the name itself, with what it was told of it. */
  renamed(from: TreeNode, fromName: ByteString, to: TreeNode, toName: ByteString): void {
    const id = this.#told.get(from, fromName) ?? absent
    this.#told.delete(from, fromName)
    if (id === absent) return
    const holdsLong = this.told(to, toName, id) === longValidity
    const directory = this.#nodes.idOf(to)
    if (this.#policy !== 'auto' || holdsLong || directory === undefined) return
    this.#push(entryMessage(directory, toName, true))
    this.#loosen(id, false)
  }

  /** The seconds for which attributes hold, where its name holds for `validity`. */
  attributeValidity(node: TreeNode, validity: number): number {
    // The directory around it does not tell what is made and removed in it.
    const isBlind = this.#policy === 'auto' && node.kind === 'directory' && !this.#watcher?.has(node)
    return isBlind ? Math.min(validity, shortValidity) : validity
  }

  forget(node: TreeNode): void {
    this.#told.take(node)
    this.#watcher?.remove(node)
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#chores.close()
    this.#watcher?.close()
  }

  #watch(directory: TreeNode): boolean {
    if (this.#watcher === undefined) return false
    if (this.#watcher.add(directory)) {
      this.#told.use(directory)
      return true
    }
    if (!this.#watcher.isFull || !this.#channel.canExpire()) return false
    const oldest = this.#told.oldest(directory)
    return oldest !== undefined && this.#takeBack(oldest) && this.#watcher.add(directory)
  }

  /** Ends what was told of the directory, and with it the need to watch it; false when too much of that is to be done. */
  #takeBack(directory: TreeNode): boolean {
    if (this.#leaving > this.#maxNames) return false
    const names = this.#told.take(directory)
    const id = this.#nodes.idOf(directory)
    if (id === undefined) return true
    if (!this.#channel.canExpire()) this.#keepDirectories(directory, names)
    else this.#watcher?.remove(directory)
    this.#leaving += names.size
    this.#chores.add(this.#takeBackNames(id, names))
    return true
  }

  /** Dropping the name of a directory would unmount what is mounted there, and leave programs in it without a path. */
  #keepDirectories(directory: TreeNode, names: Names): void {
    for (const [name, id] of names) {
      if (this.#nodes.get(id)?.kind !== 'directory') continue
      names.delete(name)
      this.#told.add(directory, name, id)
    }
  }

  *#takeBackNames(directory: number, names: Names): Generator<void> {
    this.#push(inodeMessage(directory, true))
    for (const [name, id] of names) {
      const isDirectory = this.#nodes.get(id)?.kind === 'directory'
      // A name that is only to be asked about again keeps its node from being forgotten.
      const expire = isDirectory || this.#nodes.size < this.#maxNames / 2
      this.#push(entryMessage(directory, name, expire))
      if (id !== absent) this.#loosen(id, true)
      this.#leaving--
      yield
    }
  }

  /** From now on the kernel asks about the file itself again and again. */
  #loosen(id: number, contents: boolean): void {
    this.#nodes.setValidity(id, shortValidity)
    this.#push(inodeMessage(id, contents))
  }

  #onChange(change: TreeChange): void {
    if (change.kind === 'lost') return this.#onLost()
    const directory = this.#nodes.idOf(change.directory)
    if (directory === undefined) return
    if (change.kind === 'self') return this.#push(inodeMessage(directory, true))
    if (change.kind === 'entry') return this.#onEntry(change.directory, directory, change.name)
    this.#invalidateChild(change.directory, change.name, change.kind === 'contents')
  }

  #invalidateChild(directory: TreeNode, name: ByteString, contents: boolean): void {
    const node = this.#tree.lookup(directory, name)
    if (typeof node === 'number') return
    const id = this.#nodes.idOf(node)
    this.#tree.release(node)
    if (id !== undefined) this.#push(inodeMessage(id, contents))
  }

  #onEntry(directory: TreeNode, directoryId: number, name: ByteString): void {
    // The file may live on in a directory that is not watched.
    const id = this.#told.get(directory, name) ?? absent
    if (id !== absent) this.#loosen(id, false)
    this.#told.delete(directory, name)
    this.#push(entryMessage(directoryId, name, false))
    this.#push(inodeMessage(directoryId, true))
  }

  #onLost(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#chores.add(this.#lookAtAll())
  }

  /** Names are looked up again, since they may not be dropped for nothing; of files nothing is believed. */
  *#lookAtAll(): Generator<void> {
    this.#isLost = false
    for (const directory of this.#told.directories()) {
      const id = this.#nodes.idOf(directory)
      if (id === undefined || directory.isSynthetic) continue
      for (const [name, told] of this.#told.names(directory)) {
        if (this.#isChanged(directory, name, told)) this.#onEntry(directory, id, name)
        yield
      }
    }
    for (const { id } of this.#nodes.nodes()) {
      this.#push(inodeMessage(id, true))
      yield
    }
  }

  #isChanged(directory: TreeNode, name: ByteString, told: number): boolean {
    const node = this.#tree.lookup(directory, name)
    if (typeof node === 'number') return node !== failure.ENOENT || told !== absent
    const id = this.#nodes.idOf(node)
    this.#tree.release(node)
    return id !== told
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
