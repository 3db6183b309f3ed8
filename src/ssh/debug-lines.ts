// What ssh2 tells about a connection, fit to be shown: it prints variables with their values, which may be secrets.

/** Without the values of variables. */
export function withoutValues(line: string): string {
  return line.replace(/(\benv: [^=]*=).*/s, '$1...)')
}
