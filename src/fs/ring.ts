// What is recorded about where directories are may be out of date where others moved them about. Used by the tables
// of nodes, before they record another place.

/** Whether `node` can be recorded below `parent` without making a ring; a name that would close one is forgotten. */
export function breakRing<T extends { readonly parent: T | undefined }>(
  node: T,
  parent: T,
  forgetName: (above: T) => void,
): boolean {
  for (let above: T | undefined = parent; above !== undefined; above = above.parent) {
    if (above === node) return false
    if (above.parent === node) {
      forgetName(above)
      return true
    }
  }
  return true
}
