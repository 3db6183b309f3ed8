// The variables that go to the other machine: all of this process's, or those that -env names.
import { UsageError } from '../errors.js'

/**
 * `choice` is the values of -env: `NAME` for a variable as it is here, `NAME=VALUE` for another value, separated by
 * commas. Others are left out, unless the first has a `+` in front. Throws UsageError for what is no name.
 */
export function chooseVariables(
  all: ReadonlyMap<string, Buffer>,
  choice: readonly string[],
): Map<string, Buffer> {
  if (choice.length === 0) return new Map(all)
  const text = choice.join(',')
  const isAddition = text.startsWith('+')
  const words = text.slice(isAddition ? 1 : 0).split(',')
  const chosen = new Map(isAddition ? all : [])
  for (const word of words.filter(word => word !== '')) {
    const [, name, assignment] = /^([^=]+)(=.*)?$/s.exec(word) ?? []
    if (name === undefined)
      throw new UsageError(`invalid -env: ${JSON.stringify(word)} has no name`, 'write -env NAME,NAME=VALUE')
    const value = assignment === undefined ? all.get(name) : Buffer.from(assignment.slice(1))
    if (value !== undefined) chosen.set(name, value)
  }
  return chosen
}
