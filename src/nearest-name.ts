// "Did you mean ...?" for parsers: flags and fstab options.

/** The candidate nearest to `word`, or undefined when none is within `maxDistance` edits. */
export function nearestName(
  word: string,
  candidates: Iterable<string>,
  maxDistance = word.length < 4 ? 1 : 2,
): string | undefined {
  let best: string | undefined
  let bestDistance = maxDistance + 1
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions, substitutions and swaps of neighbours that turn one word into the other. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let row = 1; row <= from.length; row++) {
    const current = [row]
    for (let column = 1; column <= to.length; column++) {
      const substitution = last[column - 1]! + (from[row - 1] === to[column - 1] ? 0 : 1)
      const swapped =
        row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
      const swap = swapped ? beforeLast[column - 2]! + 1 : Number.POSITIVE_INFINITY
      current.push(Math.min(last[column]! + 1, current[column - 1]! + 1, substitution, swap))
    }
    beforeLast = last
    last = current
  }
  return last[to.length]!
}
