// Which FileTree serves a local directory: LocalTree where its system calls are, else PathTree.

import { openLocalTree } from './local-tree.js'
import { openPathTree } from './path-tree.js'
import type { ByteString, FileTree } from './tree.js'

export interface OpenTreeOptions {
  readonly readOnly?: boolean
  /** Absolute paths from the root: all that is shown, with bare directories on the way; everything by default. */
  readonly only?: readonly ByteString[] | undefined
}

/** Serves `localPath`, a directory; throws a SystemError when it can not be opened. The caller disposes of it. */
export function openTree(localPath: string, options: OpenTreeOptions = {}): FileTree {
  return process.platform === 'linux' ? openLocalTree(localPath, options) : openPathTree(localPath, options)
}
