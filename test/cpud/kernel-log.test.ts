import fs from 'node:fs'
import t from 'tap'
import { KernelLog, seriousLine } from '../../src/cpud/kernel-log.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test("only the kernel's own words count, and only warnings and worse", async t => {
  t.equal(seriousLine('1,339,5140900,-;BUG: bad\n SUBSYSTEM=pci\n'), '[    5.140900] BUG: bad')
  t.equal(seriousLine('4,339,12345140900,c;WARNING: x;y'), '[12345.140900] WARNING: x;y')
  t.equal(seriousLine('6,339,5140900,-;told in passing'), undefined)
  t.equal(seriousLine('12,339,5140900,-;BUG: says a program'), undefined, 'facility 1')
  t.equal(seriousLine(''), undefined)
})

t.test('what was there before is not told', async t => {
  const file = `${temporaryDirectory(t)}/kmsg`
  fs.writeFileSync(file, '4,1,1,-;before')
  const log = new KernelLog(file)
  t.teardown(() => log.close())
  t.match(log.report(), { lines: [], omitted: 0, overrun: false })
})

t.test("this machine's", async t => {
  const log = new KernelLog()
  t.teardown(() => log.close())
  fs.writeFileSync('/dev/kmsg', '<1>cpu-harness test: BUG: says a program\n')
  const { lines, taints } = log.report()
  t.notOk(lines.some(line => line.includes('says a program')))
  t.equal(taints.before, taints.now)
})
