// In the nested lab's outer guest: takes a plan and a prepared directory as its arguments, measures, and prints the
// result as JSON.
import { runMain } from '../../src/cli/main.js'
import { type GuestPlan, measureGuest } from './guest-host.js'

await runMain('bench', async ([plan = '', prepared = '']) => {
  const result = await measureGuest(JSON.parse(plan) as GuestPlan, prepared, {
    onMessage: line => process.stderr.write(`${line}\n`),
  })
  process.stdout.write(`${JSON.stringify(result)}\n`)
  return 0
})
