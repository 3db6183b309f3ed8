import t from 'tap'
import { excerpt } from '../../qemu/kernel-findings.js'

t.test('an excerpt begins where the kernel says what is wrong', async t => {
  const noise = ['[    1.000000] one', '[    1.100000] two', '[    1.200000] three']
  const warning = '[    2.000000] WARNING: CPU: 0 PID: 1 at kernel/fork.c:1'
  const oops = '[    3.000000] BUG: kernel NULL pointer dereference, address: 0'
  t.strictSame(excerpt([...noise, warning, oops, ...noise], 2), [oops, noise[0]])
  t.strictSame(excerpt([...noise, warning, ...noise], 2), [warning, noise[0]])
  t.strictSame(excerpt(noise, 2), noise.slice(1), 'or is the end')
  t.strictSame(excerpt([]), [])
})
