// cpu-vm doctor

import { EXIT_HARNESS } from '../../src/cli/exit-codes.js'
import { canStart, examine } from '../doctor.js'
import { PLAIN_FLAGS } from '../flags.js'
import { command, refuseOperands } from './command.js'
import { print } from './output.js'

export const doctor = command('doctor', PLAIN_FLAGS, async flags => {
  refuseOperands(flags)
  const findings = await examine()
  for (const { subject, works, text, remedy } of findings) {
    print(`${subject.padEnd(10)} ${works ? 'ok' : 'no'}  ${text}\n`)
    if (remedy !== undefined) print(`${''.padEnd(14)} ${remedy}\n`)
  }
  return canStart(findings) ? 0 : EXIT_HARNESS
})
