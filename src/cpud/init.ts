// PID 1 of a guest: makes the machine usable, starts the daemon, tells the launcher, and powers off when it is
// told to. It never ends: the kernel would panic ("Attempted to kill init"), and hide the reason.

import { constants, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { FdStream } from '../native/fd-stream.js'
import { isSupervisor } from '../native/spawn.js'
import * as system from '../native/system.js'
import { formatAddress } from '../transport/address.js'
import type { GuestConfig, GuestNetwork } from './guest-config.js'
import { GuestControl, type GuestEvent, type GuestRequest } from './guest-control.js'
import { type Log, liftKernelLogLimit, logLevel, openInitLog } from './init-log.js'
import { mountSystem } from './init-mounts.js'
import { KernelLog } from './kernel-log.js'
import type { Service } from './serve.js'

/** Sessions get so long to end before the machine goes down under them. */
const DISPOSE_TIMEOUT_MS = 15_000
const FLUSH_TIMEOUT_MS = 1000
/** Longer than any turn of the event loop ought to take; see OrphanReaper. */
const REAP_INTERVAL_MS = 500

/**
 * Boots the guest: mounts, modules, network, host name; then starts the daemon and serves until a request on
 * the control line or SIGTERM, SIGINT or SIGPWR. Only for process 1. Whatever fails but the daemon is a warning.
 */
export async function runInit(
  readConfig: () => GuestConfig,
  startDaemon: (config: GuestConfig, log: (line: string) => void) => Promise<Service>,
): Promise<never> {
  const problems = mountSystem()
  liftKernelLogLimit()
  const init = new Init(openInitLog())
  init.guard()
  for (const problem of problems) init.warn(problem)
  try {
    const config = readConfig()
    await init.boot(config, log => startDaemon(config, log))
  } catch (error) {
    await init.fail(error)
  }
  return new Promise<never>(() => {})
}

class Init {
  readonly #log: Log
  readonly #unsent: GuestEvent[] = []
  #control: GuestControl | undefined
  #service: Service | undefined
  #kernelLog: KernelLog | undefined
  #stopping = false
  /** When the first events were sent. */
  #toldMs = 0

  constructor(log: Log) {
    this.#log = log
  }

  /** From here on nothing ends the process but a shutdown. */
  guard(): void {
    process.on('uncaughtException', error => void this.fail(error))
    process.on('unhandledRejection', error => void this.fail(error))
    process.on('exit', () => system.reboot('poweroff'))
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGPWR'] as const) {
      process.on(signal, () => void this.shutDown('poweroff'))
    }
    setInterval(() => {}, 0x7fffffff)
    reapOnSigchld()
  }

  warn(message: string): void {
    this.#log(message, logLevel.warning)
    this.#tell({ event: 'warning', message })
  }

  async boot(
    config: GuestConfig,
    startDaemon: (log: (line: string) => void) => Promise<Service>,
  ): Promise<void> {
    this.#tell({ event: 'booting' })
    this.#openControl(config.control)
    for (const path of config.modules) this.#try(() => system.loadModule(path))
    // Its driver may have been among the modules.
    if (!this.#control) this.#openControl(config.control)
    if (config.control !== undefined && !this.#control) this.warn(`no control line ${config.control}`)
    this.#try(() => system.setLoopbackUp())
    if (config.network) this.#configureNetwork(config.network)
    this.#try(() => system.setHostname(config.hostname))
    this.#service = await startDaemon(line => this.#log(line))
    this.#try(() => {
      this.#kernelLog = new KernelLog()
    })
    this.#tell({
      event: 'ready',
      kernel: release(),
      uptimeMs: uptimeMs(),
      listening: this.#service.addresses.map(formatAddress),
    })
  }

  /** Ends the sessions, then the machine. */
  async shutDown(request: 'poweroff' | 'restart'): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#log(`${request}: ending`)
    try {
      await Promise.race([this.#service?.[Symbol.asyncDispose](), after(DISPOSE_TIMEOUT_MS)])
    } catch (error) {
      this.warn(String(error))
    }
    await this.#control?.flush(FLUSH_TIMEOUT_MS)
    system.reboot(request)
  }

  async fail(error: unknown): Promise<void> {
    this.#log(error instanceof Error ? (error.stack ?? error.message) : String(error), logLevel.error)
    if (this.#stopping) return
    this.#stopping = true
    this.#tell({ event: 'failed', message: error instanceof Error ? error.message : String(error) })
    await this.#control?.flush(FLUSH_TIMEOUT_MS)
    system.reboot('poweroff')
  }

  #serve(request: GuestRequest): void {
    if (request.request === 'kernel-log') return this.#reportKernelLog()
    if (request.request !== 'clock') return void this.shutDown(request.request)
    // The launcher's clock was read after `booting` was sent. Reckoned from the sending, ours is a little ahead: files
    // that the client's machine dates must not be in the future here, which make(1) complains about.
    this.#try(() => system.setClock(request.unixMs + performance.now() - this.#toldMs))
  }

  #reportKernelLog(): void {
    this.#try(() => {
      if (this.#kernelLog !== undefined) this.#tell({ event: 'kernel-log', ...this.#kernelLog.report() })
    })
  }

  /** Events wait for the line to be there. */
  #tell(event: GuestEvent): void {
    if (this.#control) this.#control.send(event)
    else this.#unsent.push(event)
  }

  #openControl(path: string | undefined): void {
    if (path === undefined) return
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
      system.makeRaw(fd, path)
      this.#control = new GuestControl(new FdStream(fd, { peer: path }), request => this.#serve(request))
    } catch (error) {
      this.#log(String(error), logLevel.warning)
      return
    }
    this.#toldMs = performance.now()
    for (const event of this.#unsent.splice(0)) this.#control.send(event)
  }

  #configureNetwork(network: GuestNetwork): void {
    const name = firstInterface()
    if (name === undefined) {
      this.warn(`no network interface for ${network.address}`)
      return
    }
    this.#try(() => system.configureInterface(name, network))
    const { nameserver } = network
    if (nameserver !== undefined) {
      this.#try(() => writeFileSync('/etc/resolv.conf', `nameserver ${nameserver}\n`))
    }
  }

  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.warn(error instanceof Error ? error.message : String(error))
    }
  }
}

function after(timeoutMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, timeoutMs))
}

/** Since the kernel started (proc_uptime(5)). */
function uptimeMs(): number {
  return Math.round(Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1000)
}

/** The first Ethernet interface by name (linux/if_arp.h: ARPHRD_ETHER is 1). */
function firstInterface(): string | undefined {
  const folder = '/sys/class/net'
  return readdirSync(folder)
    .sort()
    .find(name => {
      try {
        return readFileSync(`${folder}/${name}/type`, 'latin1').trim() === '1'
      } catch {
        // bonding_masters is a file in that folder.
        return false
      }
    })
}

function reapOnSigchld(): void {
  const reaper = new system.OrphanReaper(isSupervisor)
  let waiting = false
  const later = () => {
    if (waiting) return
    waiting = true
    setTimeout(() => {
      waiting = false
      if (reaper.reapOrphans()) later()
    }, REAP_INTERVAL_MS)
  }
  process.on('SIGCHLD', later)
}
