// Patterns and pattern lists: ssh_config(5), "PATTERNS". Used for hosts and users in ssh_config and known_hosts, and addresses in
// authorized_keys.

/** Whether `text` matches one of `patterns` (`*`, `?`) and none of those that a `!` excludes. */
export function matchesPatterns(
  text: string,
  patterns: readonly string[],
  options: { ignoreCase?: boolean } = {},
): boolean {
  const matches = (pattern: string) => patternExpression(pattern, options.ignoreCase ? 'is' : 's').test(text)
  const excluded = patterns.some(pattern => pattern.startsWith('!') && matches(pattern.slice(1)))
  return !excluded && patterns.some(pattern => !pattern.startsWith('!') && matches(pattern))
}

/** `*` is any characters, `?` is one. */
export function patternExpression(pattern: string, flags: string): RegExp {
  const escaped = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*+/g, '.*')
    .replace(/\?/g, '.')
  return new RegExp(`^${escaped}$`, flags)
}
