// cpu-vm doctor

import { EXIT_HARNESS } from '../../src/cli/exit-codes.js'
import { canStart, examine } from '../doctor.js'
import { DOCTOR_FLAGS } from '../flags.js'
import { command, refuseOperands } from './command.js'
import { print, printJson } from './output.js'

export const doctor = command('doctor', DOCTOR_FLAGS, async flags => {
  refuseOperands(flags)
  const findings = await examine()
  if (flags.values.json) printJson(findings.map(finding => ({ required: false, remedy: null, ...finding })))
  else
    for (const { subject, works, text, remedy } of findings) {
      print(`${subject.padEnd(11)} ${works ? 'ok' : 'no'}  ${text}\n`)
      if (remedy !== undefined) print(`${''.padEnd(15)} ${remedy}\n`)
    }
  return canStart(findings) ? 0 : EXIT_HARNESS
})
