// The network of a machine whose PID 1 cpud is: one interface with an address that is told or asked for by DHCP.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import * as system from '../native/system.js'
import type { BootNetwork, Ipv4Settings } from './boot-config.js'
import { holdLease, type Lease } from './dhcp.js'
import { type Log, logLevel } from './init-log.js'

const LOOK_INTERVAL_MS = 1000

/**
 * Configures the interface, at once if it is there, else as soon as it is. By DHCP the address comes later, and is
 * renewed; an interface that has one already is left alone. Throws nothing: what fails is logged.
 */
export function configureNetwork(network: BootNetwork, log: Log): void {
  const configure = (name: string) => attempt(log, () => configureInterface(name, network, log))
  const present = findInterface(network.interface)
  if (present !== undefined) return configure(present)
  log(`no network interface ${network.interface ?? ''}`.trimEnd(), logLevel.warning)
  const timer = setInterval(() => {
    const name = findInterface(network.interface)
    if (name === undefined) return
    clearInterval(timer)
    configure(name)
  }, LOOK_INTERVAL_MS)
}

function configureInterface(name: string, { ipv4 }: BootNetwork, log: Log): void {
  const own = networkInterfaces()[name]?.find(({ family }) => family === 'IPv4')
  if (own !== undefined) return log(`${name} has ${own.address} already`)
  if (ipv4 !== 'dhcp') return apply(name, ipv4, log)
  log(`${name}: asking for an address by DHCP`)
  holdLease(name, lease => attempt(log, () => applyLease(name, lease, log))).catch(error =>
    log((error as Error).message, logLevel.warning),
  )
}

function applyLease(name: string, lease: Lease | undefined, log: Log): void {
  // So that no route of the address before is left.
  system.removeAddress(name)
  if (lease === undefined) log(`${name}: the address has run out, asking for another`, logLevel.warning)
  else apply(name, lease.ipv4, log)
}

function apply(name: string, settings: Ipv4Settings, log: Log): void {
  const { address, prefix, gateway, nameservers } = settings
  system.configureInterface(name, settings)
  log(`${name} has ${address}/${prefix}${gateway === undefined ? '' : `, gateway ${gateway}`}`)
  if (nameservers === undefined) return
  // A root file system that somebody made need not have one.
  mkdirSync('/etc', { recursive: true })
  writeFileSync('/etc/resolv.conf', nameservers.map(server => `nameserver ${server}\n`).join(''))
}

function attempt(log: Log, act: () => void): void {
  try {
    act()
  } catch (error) {
    log((error as Error).message, logLevel.warning)
  }
}

/** The one that is named, or the first Ethernet interface by name that is a device's (linux/if_arp.h: ARPHRD_ETHER is 1). */
function findInterface(wanted: string | undefined): string | undefined {
  const folder = '/sys/class/net'
  if (wanted !== undefined) return existsSync(`${folder}/${wanted}`) ? wanted : undefined
  return readdirSync(folder)
    .sort()
    .find(name => {
      try {
        return (
          existsSync(`${folder}/${name}/device`) &&
          readFileSync(`${folder}/${name}/type`, 'latin1').trim() === '1'
        )
      } catch {
        return false
      }
    })
}
