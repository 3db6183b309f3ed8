#!/usr/bin/env node
// cpud: argv -> options -> one call -> exit code; as process 1 there is no exit.
import path from 'node:path'
import { startupSnapshot } from 'node:v8'
import { CPUD_FLAGS, CPUD_HELP } from '../cli/cpud-flags.js'
import { parseFlags } from '../cli/flags.js'
import { renderHelp } from '../cli/help.js'
import { runMain } from '../cli/main.js'
import { openKernelLog } from '../cpud/init-log.js'
import { serveAsInit, serveUntilSignal } from '../cpud/serve.js'
import { serveSettings, userPlaces } from '../cpud/settings.js'
import { CpuError, UsageError } from '../errors.js'
import { mayMountHere } from '../native/user-namespace.js'
import { version } from '../version.js'

// A guest's is in a snapshot of V8, taken when all of it is loaded (qemu/startup-snapshot.ts).
if (startupSnapshot.isBuildingSnapshot()) startupSnapshot.setDeserializeMainFunction(main)
else main()

function main(): void {
  if (isInit()) void serveAsInit(process.argv.slice(2))
  else void runMain('cpud', serve)
}

/** Before flags are read, since even their errors must not end process 1. A container's may be an ordinary daemon. */
function isInit(): boolean {
  const [, name = '', ...given] = process.argv
  return (
    process.pid === 1 &&
    mayMountHere() &&
    (path.basename(name) === 'init' || given.some(word => /^--?init(=true)?$/.test(word)))
  )
}

async function serve(argv: string[]): Promise<number> {
  const { values, operands } = parseFlags(CPUD_FLAGS, argv)
  if (values.help || values.h) return print(renderHelp(CPUD_FLAGS, CPUD_HELP))
  if (values.version) return print(`cpud ${version()}\n`)
  if (operands[0] !== undefined) throw new UsageError(`unexpected operand ${operands[0]}`)
  if (values.init)
    throw new UsageError(
      mayMountHere() ? '-init is for process 1' : '-init sets a machine up, which takes root',
      'leave it out to serve here',
    )
  const log = openLog(values.klog)
  return serveUntilSignal({
    ...serveSettings(values, userPlaces(), log),
    debug: values.d ? log : undefined,
  })
}

function openLog(toKernel: boolean): (line: string) => void {
  const say = (line: string) => console.error(`cpud: ${line}`)
  if (!toKernel) return say
  try {
    const note = openKernelLog()
    return line => {
      say(line)
      note(line)
    }
  } catch (cause) {
    throw new CpuError(
      'ERR_CPU_KERNEL_LOG',
      `cannot log to the kernel (-klog): ${(cause as Error).message}`,
      {
        cause,
        remedy: 'run cpud as root, or leave -klog out',
      },
    )
  }
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}
