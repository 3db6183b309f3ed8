// What the 9P requests of one command are for, from the trace of `cpu -dbg9p`. Called by session-table.ts.

export interface RequestGroup {
  /** The file, from the root of the export. */
  readonly path: string
  /** By message, how many. */
  readonly counts: Readonly<Record<string, number>>
}

/** Groups requests by the file they are about, in the order of the first of each. */
export function groupRequests(trace: readonly string[]): RequestGroup[] {
  const places = new Map<string, string>()
  const groups = new Map<string, Record<string, number>>()
  for (const line of trace) {
    const [, name, rest = ''] = /^> (T\w+) tag=\d+(.*)$/.exec(line) ?? []
    if (name === undefined) continue
    const path = subject(name, rest, places)
    const counts = groups.get(path) ?? {}
    counts[name] = (counts[name] ?? 0) + 1
    groups.set(path, counts)
  }
  return [...groups].map(([path, counts]) => ({ path, counts }))
}

/** A walk is about what it leads to, also when that is missing; whatever else has a fid is about the file of that. */
function subject(name: string, rest: string, places: Map<string, string>): string {
  const field = (key: string) => new RegExp(` ${key}=(\\d+)`).exec(rest)?.[1]
  const fid = field('fid') ?? field('dfid') ?? field('dirfid')
  if (fid === undefined) return 'connection'
  if (name === 'Tattach') places.set(fid, '')
  const place = places.get(fid) ?? '?'
  if (name !== 'Twalk') return place === '' ? '/' : place
  const names = /names=\[(.*)\]/.exec(rest)?.[1] ?? ''
  const path = [place, ...[...names.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(match => match[1]!)].join('/')
  const newfid = field('newfid')
  if (newfid !== undefined) places.set(newfid, path)
  return path === '' ? '/' : path
}

/** `/usr/bin/true: Twalk 2, Tgetattr 1`. */
export function describeGroup({ path, counts }: RequestGroup): string {
  return `${path}: ${Object.entries(counts)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')}`
}

export function countOf(groups: readonly RequestGroup[]): number {
  return groups.flatMap(({ counts }) => Object.values(counts)).reduce((sum, count) => sum + count, 0)
}
