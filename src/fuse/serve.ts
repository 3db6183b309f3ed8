// A FUSE server on a stream: requests in, as they were read from /dev/fuse on the other side, replies and
// notifications out. It knows no sockets and no /dev/fuse; what passes the messages on is cpud's.

import type { Duplex } from 'node:stream'
import { failure } from '../fs/failure.js'
import type { ByteString, FileTree, TreeNode } from '../fs/tree.js'
import { MalformedMessage, Reader } from '../wire/fields.js'
import { type Deferred, RequestLoop } from '../wire/request-loop.js'
import { decodeRequest, printReply, printRequest, requestName } from './codec.js'
import { Coherence } from './coherence.js'
import { fileHandlers } from './file-handlers.js'
import { HandleTable } from './handle-table.js'
import { initHandlers } from './init-handlers.js'
import { MadeUpFiles } from './made-up-files.js'
import type { Request, RequestName } from './messages.js'
import { nameHandlers } from './name-handlers.js'
import { NodeTable } from './node-table.js'
import type { Owners } from './owners.js'
import { requestHeaderSize } from './protocol.js'
import {
  type CachePolicy,
  completeDeferred,
  type Handler,
  type Handlers,
  type Header,
  Reply,
  type Session,
} from './session.js'

export interface ServeFuseOptions {
  /** What the kernel there may keep; `auto` by default: everything, until it is told that it changed. */
  readonly policy?: CachePolicy
  /** How many files it may know. */
  readonly maxNodes?: number | undefined
  /** Ends the connection. */
  readonly signal?: AbortSignal
  /** Called with one line for each request, each reply, each notification, and the reason for the end. */
  readonly trace?: ((line: string) => void) | undefined
}

const defaultMaxNodes = 524_288
const maxHandles = 65_536
/** The largest read or write; Linux asks for no more (FUSE_MAX_MAX_PAGES). */
const maxWrite = 1024 * 1024
/** What else stands in a message: headers, names, an extended attribute. */
const maxHead = 65_536 + 4096
/** Notifications wait while more than this is on its way out: more than replies may come to, which are not so urgent. */
const maxUnsentForPush = 16 * 1024 * 1024

let connections = 0

const handlers: Handlers<RequestName> = { ...initHandlers, ...fileHandlers, ...nameHandlers }

/** What may be said before INIT was answered. */
const beforeInit: ReadonlySet<RequestName> = new Set(['INIT', 'SESSION_IDS'])

/**
 * Serves the tree on the stream until that ends, by whichever side; then closes every file and lock, and resolves. It
 * never rejects: who breaks the protocol loses the connection.
 */
export function serveFuse(stream: Duplex, tree: FileTree, options: ServeFuseOptions = {}): Promise<void> {
  return new Promise(resolve => new Connection(stream, tree, options, resolve))
}

interface Pending extends Deferred {
  isOver: boolean
}

class Connection implements Session {
  readonly number = ++connections
  readonly tree: FileTree
  readonly nodes: NodeTable
  readonly handles: HandleTable
  readonly madeUp: MadeUpFiles
  readonly policy: CachePolicy
  readonly maxWrite = maxWrite
  opensImplicitly = false
  canExpire = false
  waitingLocks = 0
  owners: Owners | undefined
  isInitialised = false
  readonly #trace: ((line: string) => void) | undefined
  readonly #resolve: () => void
  readonly #loop: RequestLoop
  readonly #reply: Reply
  readonly #reader = new Reader()
  readonly #coherence: Coherence
  readonly #pending = new Map<bigint, Pending>()

  constructor(stream: Duplex, tree: FileTree, options: ServeFuseOptions, resolve: () => void) {
    this.tree = tree
    this.policy = options.policy ?? 'auto'
    this.nodes = new NodeTable(tree, options.maxNodes ?? defaultMaxNodes, (node, id) =>
      this.#forgotten(node, id),
    )
    this.handles = new HandleTable(tree, maxHandles)
    this.madeUp = new MadeUpFiles(tree)
    this.#trace = options.trace
    this.#resolve = resolve
    this.#coherence = new Coherence(this.policy, tree, this.nodes, {
      send: messages => this.#notify(messages),
      giveUp: () => this.end('what changed elsewhere is not taken'),
      canExpire: () => this.canExpire,
    })
    this.#loop = new RequestLoop(stream, {
      minSize: requestHeaderSize,
      maxSize: maxWrite + maxHead,
      onMessage: (bytes, view, start, end) => this.#request(bytes, view, start, end),
      onEnd: reason => this.#ended(reason),
      signal: options.signal,
    })
    this.#loop.output.setMaxSize(maxWrite + maxHead)
    this.#reply = new Reply(this.#loop.output)
  }

  validity(directory: TreeNode): number {
    return this.#coherence.validity(directory)
  }

  told(directory: TreeNode, name: ByteString, id: number): number {
    return this.#coherence.told(directory, name, id)
  }

  renamed(from: TreeNode, fromName: ByteString, to: TreeNode, toName: ByteString): void {
    this.#coherence.renamed(from, fromName, to, toName)
  }

  attributeValidity(node: TreeNode, validity: number): number {
    return this.#coherence.attributeValidity(node, validity)
  }

  interrupt(unique: bigint): void {
    const pending = this.#pending.get(unique)
    if (pending?.cancel === undefined) return
    this.#settle(unique, pending, failure.EINTR)
    pending.cancel()
  }

  end(reason: string): void {
    this.#loop.end(reason)
  }

  #ended(reason: string): void {
    this.#trace?.(`end: ${reason}`)
    for (const pending of this.#pending.values()) pending.cancel?.()
    this.#pending.clear()
    this.#coherence.close()
    this.handles.clear()
    this.nodes.clear()
    this.#resolve()
  }

  #forgotten(node: TreeNode, id: number): void {
    this.handles.drop(node)
    this.madeUp.forget(id)
    if (!this.#loop.isEnded) this.#coherence.forget(node)
  }

  #notify(messages: readonly Buffer[]): boolean {
    if (this.#loop.isEnded || !this.isInitialised) return true
    if (this.#loop.output.unsent > maxUnsentForPush) return false
    if (this.#trace !== undefined) for (const message of messages) this.#trace(`! ${printReply(message)}`)
    this.#loop.output.append(Buffer.concat(messages))
    return true
  }

  #request(bytes: Buffer, view: DataView, start: number, end: number): void {
    const name = requestName(view.getUint32(start + 4, true))
    const unique = view.getBigUint64(start + 8, true)
    const nodeid = view.getUint32(start + 16, true) + view.getUint32(start + 20, true) * 2 ** 32
    this.#reply.unique = unique
    if (this.#pending.size > 0 && this.#pending.has(unique)) this.end(`unique ${unique} used twice`)
    else if (name === undefined) this.#fail(failure.ENOSYS)
    else if (!this.isInitialised && !beforeInit.has(name)) this.#fail(failure.EPROTO)
    else {
      this.#reader.reset(bytes, view, start + requestHeaderSize, end)
      this.#dispatch(name, { nodeid, unique })
    }
  }

  #dispatch<N extends RequestName>(name: N, header: Header): void {
    let request: Request<N>
    try {
      request = decodeRequest(name, this.#reader)
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.#trace?.(`> ${name} ${header.unique}: ${error.message}`)
      this.#fail(failure.EINVAL)
      return
    }
    if (this.#trace !== undefined) this.#trace(`> ${printRequest(name, header, request)}`)
    const handler: Handler<N> = handlers[name]
    const outcome = handler(this, request, header, this.#reply)
    if (typeof outcome === 'object') this.#defer(header.unique, outcome, (request as { size?: number }).size)
    else if (outcome < 0) this.#fail(outcome)
    else if (outcome === 0 && this.#trace !== undefined)
      this.#trace(`< ${printReply(this.#loop.output.lastMessage())}`)
  }

  #fail(result: number): void {
    this.#reply.error(result)
    if (this.#trace !== undefined) this.#trace(`< ${printReply(this.#loop.output.lastMessage())}`)
  }

  #defer(unique: bigint, deferred: Deferred, size = 0): void {
    const pending: Pending = { ...deferred, isOver: false }
    this.#pending.set(unique, pending)
    this.#loop.await(pending.result, Math.min(size, maxWrite), failure.EIO, result => {
      if (!pending.isOver) this.#settle(unique, pending, result)
    })
  }

  #settle(unique: bigint, pending: Pending, result: number | Buffer): void {
    pending.isOver = true
    this.#pending.delete(unique)
    if (typeof result === 'number') {
      this.#reply.unique = unique
      this.#fail(result)
      this.#loop.output.flush()
      return
    }
    const message = completeDeferred(result, unique)
    this.#trace?.(`< ${printReply(message)}`)
    this.#loop.output.append(message)
  }
}
