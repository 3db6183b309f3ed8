#!/usr/bin/env node
// cpu: argv -> options -> one call -> exit code.
import { CPU_FLAGS, CPU_HELP } from '../cli/cpu-flags.js'
import { EXIT_CONNECTION } from '../cli/exit-codes.js'
import { parseFlags } from '../cli/flags.js'
import { renderHelp } from '../cli/help.js'
import { runMain } from '../cli/main.js'
import { describeRun, runCommand } from '../client/run.js'
import { type ServeFilesOptions, serveFiles } from '../client/serve.js'
import { clientOptions, serveOptions } from '../client/settings.js'
import { version } from '../version.js'

void runMain(
  'cpu',
  async argv => {
    const flags = parseFlags(CPU_FLAGS, argv)
    if (flags.values.help || flags.values.h) return print(renderHelp(CPU_FLAGS, CPU_HELP))
    if (flags.values.version) return print(`cpu ${version()}\n`)
    if (flags.values.srv !== undefined) return serve(serveOptions(flags))
    const options = clientOptions(flags)
    if (flags.values['dry-run']) return print(describeRun(options))
    return runCommand(options)
  },
  EXIT_CONNECTION,
)

/** Until it is told to end. */
async function serve(options: Omit<ServeFilesOptions, 'signal'>): Promise<number> {
  const end = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort())
  await serveFiles({ ...options, signal: end.signal })
  return 0
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}
