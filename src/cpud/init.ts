// PID 1: makes the machine usable, starts the daemon, tells the launcher where there is one, and stops the machine when
// it is told to. It never ends: the kernel would panic ("Attempted to kill init"), and hide the reason.

import { EventEmitter, once } from 'node:events'
import { constants, openSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeError } from '../cli/main.js'
import { CpuError } from '../errors.js'
import { FdStream } from '../native/fd-stream.js'
import { kernelRelease } from '../native/kernel-release.js'
import { reseedRandom } from '../native/random.js'
import { readText } from '../native/read-text.js'
import { isSupervisor } from '../native/spawn.js'
import * as system from '../native/system.js'
import { formatAddress } from '../transport/address.js'
import type { BootConfig } from './boot-config.js'
import { GuestControl, type GuestEvent, type GuestIdentity, type GuestRequest } from './guest-control.js'
import { type Log, liftKernelLogLimit, logLevel, openInitLog } from './init-log.js'
import { mountSystem } from './init-mounts.js'
import { configureNetwork } from './init-network.js'
import { enterRoot } from './init-root.js'
import { listenInitctl } from './initctl.js'
import { KernelLog } from './kernel-log.js'
import { loadModules } from './kernel-modules.js'
import type { Service } from './serve.js'
import { isMachineInit, quiesce } from './shutdown.js'

/** Sessions get so long to end before the machine goes down under them. */
const DISPOSE_TIMEOUT_MS = 15_000
const FLUSH_TIMEOUT_MS = 1000
const REAP_INTERVAL_MS = 50

/** SIGUSR1, SIGUSR2 and SIGTERM as busybox's halt, poweroff and reboot send them; Ctrl-Alt-Del is SIGINT. */
const requestOf = {
  SIGUSR1: 'halt',
  SIGUSR2: 'poweroff',
  SIGTERM: 'restart',
  SIGINT: 'restart',
  SIGPWR: 'poweroff',
} as const

/** What to make of the machine, and of cpud on it. */
export interface Boot {
  readonly config: BootConfig
  /** `askIdentity` is for a machine with a launcher, which alone knows who it is. */
  startDaemon(askIdentity: () => Promise<GuestIdentity>): Promise<Service>
}

type Answer = Extract<GuestRequest, { request: 'clock' | 'identity' }>

/**
 * Boots the machine: mounts, modules, network, host name; then starts the daemon and serves until a request on the
 * control line or by a signal. Only for process 1. Whatever fails but `prepare`, the root and the daemon is a warning.
 */
export async function runInit(prepare: (log: Log) => Boot): Promise<never> {
  const init = new Init()
  init.guard()
  try {
    const problems = mountSystem()
    init.openLog()
    for (const problem of problems) init.log(problem, logLevel.warning)
    await init.boot(prepare(init.log))
  } catch (error) {
    await init.fail(error)
  }
  return new Promise<never>(() => {})
}

class Init {
  #write: Log = openInitLog()
  /** Until the control line is open; undefined where there is none. */
  #unsent: GuestEvent[] | undefined = []
  #control: GuestControl | undefined
  #service: Service | undefined
  #kernelLog: KernelLog | undefined
  #stopping = false
  /** By their requests; what nobody has asked for is passed over. */
  readonly #answers = new EventEmitter()

  /** From here on nothing ends the process but a shutdown. */
  guard(): void {
    process.on('uncaughtException', error => void this.fail(error))
    process.on('unhandledRejection', error => void this.fail(error))
    process.on('exit', () => stop('poweroff', this.#write))
    for (const [signal, request] of Object.entries(requestOf)) {
      process.on(signal, () => void this.shutDown(request))
    }
    setInterval(() => {}, 0x7fffffff)
    reapOnSigchld()
    try {
      system.receiveCtrlAltDel()
    } catch {
      // Not for a PID namespace to say.
    }
  }

  /** Now that there is /dev. */
  openLog(): void {
    liftKernelLogLimit()
    this.#write = openInitLog()
  }

  /** For the kernel's log; a warning for the launcher too. */
  readonly log: Log = (line, level = logLevel.info) => {
    this.#write(line, level)
    if (level <= logLevel.warning) this.#tell({ event: 'warning', message: line })
  }

  /** Does not return. */
  async boot({ config, startDaemon }: Boot): Promise<never> {
    this.#tell({ event: 'booting' })
    this.#openControl(config.control)
    loadModules(config.modules, error => this.#warn(error))
    // Its driver may have been among the modules.
    if (!this.#control) this.#openControl(config.control)
    if (config.control !== undefined && !this.#control)
      this.log(`no control line ${config.control}`, logLevel.warning)
    this.#unsent = undefined
    if (config.root !== undefined) enterRoot(config.root)
    this.#try(() => system.setLoopbackUp())
    if (isMachineInit()) this.#try(() => listenInitctl(request => void this.shutDown(request)))
    const { hostname, network } = config
    if (hostname !== undefined) this.#try(() => system.setHostname(hostname))
    if (network !== undefined) this.#try(() => configureNetwork(network, this.log))
    for (;;) await this.#serveUntilForgotten(startDaemon)
  }

  async #serveUntilForgotten(startDaemon: Boot['startDaemon']): Promise<void> {
    const service = await startDaemon(() => this.#askIdentity())
    this.#service = service
    this.#try(() => {
      this.#kernelLog?.close()
      this.#kernelLog = new KernelLog()
    })
    this.#tell({
      event: 'ready',
      kernel: kernelRelease(),
      uptimeMs: uptimeMs(),
      listening: service.addresses.map(formatAddress),
    })
    await once(this.#answers, 'forget')
    await service[Symbol.asyncDispose]()
  }

  /** Ends the sessions, then the machine. */
  async shutDown(request: system.RebootCommand): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    this.#write(`${request}: ending`)
    try {
      await Promise.race([this.#service?.[Symbol.asyncDispose](), sleep(DISPOSE_TIMEOUT_MS)])
    } catch (error) {
      this.#warn(error as Error)
    }
    await this.#goDown(request)
  }

  /** Says why, and does with the machine what the kernel would after a panic, but that one that would hang is switched off. */
  async fail(error: unknown): Promise<void> {
    const message = describeError(error)
    this.#write(error instanceof CpuError ? message : ((error as Error)?.stack ?? message), logLevel.error)
    if (this.#stopping) return
    this.#stopping = true
    this.#tell({ event: 'failed', message })
    const panic = isMachineInit() ? Number(readText('/proc/sys/kernel/panic')) : 0
    const request = panic === 0 ? 'poweroff' : 'restart'
    this.#write(`cannot go on: ${request}${panic > 0 ? ` in ${panic} s` : ''}`, logLevel.error)
    await sleep(Math.max(0, panic) * 1000)
    await this.#goDown(request)
  }

  async #goDown(request: system.RebootCommand): Promise<void> {
    try {
      await quiesce(this.log)
    } catch (error) {
      this.#warn(error as Error)
    }
    await this.#control?.flush(FLUSH_TIMEOUT_MS)
    stop(request, this.#write)
  }

  #serve(request: GuestRequest): void {
    if (request.request === 'kernel-log') this.#reportKernelLog()
    else if (request.request === 'poweroff' || request.request === 'restart')
      void this.shutDown(request.request)
    else this.#answers.emit(request.request, request)
  }

  /**
   * While nobody answers, the launcher may keep the machine as it is, to go on with copies of it: so nothing that is
   * secret has been made before, and what is made random from here on depends on the seed.
   */
  async #askIdentity(): Promise<GuestIdentity> {
    const identity = await this.#ask({ event: 'waiting' }, 'identity')
    reseedRandom(Buffer.from(identity.seed, 'base64'))
    await this.#askTime()
    this.#try(() => system.setHostname(identity.hostname))
    return identity
  }

  async #askTime(): Promise<void> {
    const askedMs = performance.now()
    const { unixMs } = await this.#ask({ event: 'clock' }, 'clock')
    // The launcher's clock was read after we had asked. Reckoned from the asking, ours is a little ahead: files that the
    // client's machine dates must not be in the future here, which make(1) complains about.
    this.#try(() => system.setClock(unixMs + performance.now() - askedMs))
  }

  async #ask<R extends Answer['request']>(event: GuestEvent, request: R) {
    const answer = once(this.#answers, request)
    this.#tell(event)
    return (await answer)[0] as Extract<Answer, { request: R }>
  }

  #reportKernelLog(): void {
    this.#try(() => {
      if (this.#kernelLog !== undefined) this.#tell({ event: 'kernel-log', ...this.#kernelLog.report() })
    })
  }

  /** Events wait for the line to be there. */
  #tell(event: GuestEvent): void {
    if (this.#control) this.#control.send(event)
    else this.#unsent?.push(event)
  }

  #openControl(path: string | undefined): void {
    if (path === undefined) return
    try {
      const fd = openSync(path, constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK)
      system.makeRaw(fd, path)
      this.#control = new GuestControl(new FdStream(fd, { peer: path }), request => this.#serve(request))
    } catch (error) {
      this.#write(String(error), logLevel.warning)
      return
    }
    for (const event of this.#unsent ?? []) this.#control.send(event)
    this.#unsent = undefined
  }

  #warn(error: Error): void {
    this.log(describeError(error), logLevel.warning)
  }

  #try(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#warn(error as Error)
    }
  }
}

/** Since the kernel started (proc_uptime(5)). */
function uptimeMs(): number {
  return Math.round(Number.parseFloat(readText('/proc/uptime')) * 1000)
}

/** Does not return, whatever the kernel says to it: process 1 must not end. */
function stop(request: system.RebootCommand, log: Log): never {
  try {
    system.reboot(request)
  } catch (error) {
    log(`${describeError(error)}: switch it off by hand`, logLevel.error)
  }
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
}

function reapOnSigchld(): void {
  const reap = () => {
    // Its Program is told of its end in this very turn or the next.
    if (system.reapOrphans(isSupervisor)) setTimeout(reap, REAP_INTERVAL_MS)
  }
  process.on('SIGCHLD', reap)
}
