import { execFileSync } from 'node:child_process'
import t from 'tap'
import { RUN_FLAGS } from '../../../qemu/flags.js'
import { repeatLine } from '../../../qemu/matrix/repeat-line.js'
import { parseFlags } from '../../../src/cli/flags.js'

const defaults = parseFlags(RUN_FLAGS, []).values

t.test('says what differs from the defaults, in words that a shell and cpu-vm read back', async t => {
  const values = {
    ...defaults,
    kernel: "/boot/it's",
    memory: 512,
    share: ['a=/x y', 'b=/z'],
    timeout: 90_000,
    'fail-on-oops': false,
    nested: true,
  }
  const line = repeatLine(values, ['sh', '-c', "echo 'a b' && true"], { CPU_FSTAB: 'a /b tmpfs' })
  const start = `cd ${process.cwd()} && CPU_FSTAB='a /b tmpfs' `
  t.ok(line.startsWith(start))
  const words = line.slice(start.length)
  const argv = execFileSync('sh', ['-c', `printf '%s\\0' ${words}`])
    .toString()
    .split('\0')
    .slice(0, -1)
  t.strictSame(argv.slice(0, 2), ['cpu-vm', 'run'])
  const parsed = parseFlags(RUN_FLAGS, argv.slice(2))
  t.strictSame({ ...parsed.values }, values)
  t.strictSame(parsed.operands, ['sh', '-c', "echo 'a b' && true"])
  t.strictSame([...parsed.given].sort(), ['fail-on-oops', 'kernel', 'memory', 'nested', 'share', 'timeout'])
})
