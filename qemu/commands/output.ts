// What the commands say: results to stdout, words to stderr.

/** Returns the exit code of success. */
export function print(text: string): number {
  process.stdout.write(text)
  return 0
}

export function printJson(value: unknown): number {
  return print(`${JSON.stringify(value, undefined, 2)}\n`)
}

export function say(line: string): void {
  process.stderr.write(`cpu-vm: ${line}\n`)
}

export function showConsole(lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`  | ${line}\n`)
}

/** Columns as wide as they must be; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const lines = rows.map(row =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}
