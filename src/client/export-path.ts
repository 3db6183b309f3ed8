// Where a path leads within what is served, as if that were the whole file system: links are followed, absolute ones
// from the root of the export, and `..` ends there.
import fs from 'node:fs'
import path from 'node:path'

/** As many links as Linux follows (MAXSYMLINKS). */
const MAX_LINKS = 40

/** The path without links, from the root of the export; undefined when there is nothing there. */
export function resolveInExport(root: string, exported: string): string | undefined {
  const waiting = componentsOf(exported)
  const resolved: string[] = []
  for (let links = 0; waiting.length > 0; ) {
    const name = waiting.shift()!
    if (name === '..') {
      resolved.pop()
      continue
    }
    const target = linkTarget(path.join(root, ...resolved, name))
    if (target === undefined) return undefined
    if (target === '') resolved.push(name)
    else {
      if (++links > MAX_LINKS) return undefined
      if (target.startsWith('/')) resolved.length = 0
      waiting.unshift(...componentsOf(target))
    }
  }
  return `/${resolved.join('/')}`
}

function componentsOf(text: string): string[] {
  return text.split('/').filter(name => name !== '' && name !== '.')
}

/** Empty for what is no link, undefined for what does not exist. */
function linkTarget(file: string): string | undefined {
  try {
    return fs.lstatSync(file).isSymbolicLink() ? fs.readlinkSync(file) : ''
  } catch {
    return undefined
  }
}
