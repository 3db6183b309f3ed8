// Lists of address patterns as `from=` of authorized_keys has them: sshd(8), and ssh_config(5), "PATTERNS".
import net from 'node:net'
import { patternExpression } from './patterns.js'

/** Whether an address is in the list: `192.0.2.7`, `2001:db8::1`, `vsock/2`, `unix`. */
export type AddressPatterns = (address: string) => boolean

/**
 * Reads a list such as `192.0.2.0/24,vsock/2,!10.0.0.*`: one pattern must match, and none with `!`. Names of hosts match
 * nothing, since no name is looked up. Throws an Error for a list that cannot be understood.
 */
export function parseAddressPatterns(text: string): AddressPatterns {
  const patterns = text.split(',').map(word => {
    const negated = word.startsWith('!')
    return { negated, matches: parsePattern(negated ? word.slice(1) : word) }
  })
  return address => {
    const matching = patterns.filter(({ matches }) => matches(address))
    return matching.length > 0 && !matching.some(({ negated }) => negated)
  }
}

function parsePattern(pattern: string): AddressPatterns {
  if (pattern === '') throw new Error('there is an empty pattern')
  const [base = '', length] = pattern.split('/')
  if (length === undefined || base === 'vsock') return wildcard(pattern)
  const family = net.isIP(base)
  const limit = family === 6 ? 128 : 32
  if (family === 0 || !/^\d{1,3}$/.test(length) || Number(length) > limit || pattern.split('/').length > 2)
    throw new Error(`${JSON.stringify(pattern)} is no range of addresses`)
  return inSubnet(base, Number(length), family === 6 ? 'ipv6' : 'ipv4')
}

function inSubnet(base: string, length: number, family: net.IPVersion): AddressPatterns {
  const block = new net.BlockList()
  block.addSubnet(base, length, family)
  return address => {
    const actual = net.isIP(address)
    return actual !== 0 && block.check(address, actual === 6 ? 'ipv6' : 'ipv4')
  }
}

function wildcard(pattern: string): AddressPatterns {
  const expression = patternExpression(pattern, 'is')
  return address => expression.test(address)
}
