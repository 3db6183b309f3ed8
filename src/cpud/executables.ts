/** What execve is to try, in order, for a command: the command itself when it has a slash, else one per PATH element. */
export function executableCandidates(command: Buffer, path: Buffer): Buffer[] {
  if (command.length === 0 || command.includes('/')) return [command]
  const candidates: Buffer[] = []
  for (let start = 0; start <= path.length; ) {
    const colon = path.indexOf(':', start)
    const end = colon === -1 ? path.length : colon
    // An empty element means the working directory, as in sh.
    const directory = end === start ? Buffer.from('.') : path.subarray(start, end)
    candidates.push(Buffer.concat([directory, Buffer.from('/'), command]))
    start = end + 1
  }
  return candidates
}
