// The kernel's parameter `ip=`, for kernels that were built without it (CONFIG_IP_PNP), or have their network drivers as
// modules. Documentation/admin-guide/nfs/nfsroot.rst in Linux:
//
//   ip=<client-ip>:<server-ip>:<gw-ip>:<netmask>:<hostname>:<device>:<autoconf>:<dns0-ip>:<dns1-ip>:<ntp0-ip>
//   ip=<autoconf>
//   ip=<client-ip>

import { CpuError } from '../errors.js'
import { classPrefix, parseIpv4, prefixOf } from '../native/system.js'
import type { BootNetwork, Ipv4Settings } from './boot-config.js'

export interface IpParameter {
  /** Undefined where interfaces are to be left alone. */
  readonly network?: BootNetwork
  readonly hostname?: string
}

/** Throws CpuError ERR_CPU_BOOT_OPTION. */
export function parseIpParameter(value: string): IpParameter {
  const fields = value.split(':')
  if (fields.length === 1 && !/^\d/.test(value)) fields.unshift('', '', '', '', '', '')
  const [address = '', , gateway = '', mask = '', hostname = '', device = '', method = '', ...servers] =
    fields
  try {
    const ipv4 = address === '' ? automatic(method) : fixed(address, gateway, mask, servers.slice(0, 2))
    return {
      ...(hostname === '' ? {} : { hostname }),
      ...(ipv4 === undefined ? {} : { network: { ipv4, ...(device === '' ? {} : { interface: device }) } }),
    }
  } catch (cause) {
    throw new CpuError(
      'ERR_CPU_BOOT_OPTION',
      `ip=${value} on the kernel's command line: ${(cause as Error).message}`,
      { cause, remedy: 'write ip=dhcp, or ip=ADDRESS::GATEWAY:NETMASK:HOSTNAME:INTERFACE:off:NAMESERVER' },
    )
  }
}

function automatic(method: string): 'dhcp' | undefined {
  if (['dhcp', 'on', 'any', ''].includes(method)) return 'dhcp'
  if (['off', 'none'].includes(method)) return undefined
  throw new Error(`"${method}" is neither dhcp nor off`)
}

function fixed(address: string, gateway: string, mask: string, servers: readonly string[]): Ipv4Settings {
  const nameservers = servers.filter(Boolean)
  for (const text of [address, ...nameservers, ...(gateway === '' ? [] : [gateway])]) parseIpv4(text)
  return {
    address,
    prefix: mask === '' ? classPrefix(address) : prefixOf(mask),
    ...(gateway === '' ? {} : { gateway }),
    ...(nameservers.length === 0 ? {} : { nameservers }),
  }
}
