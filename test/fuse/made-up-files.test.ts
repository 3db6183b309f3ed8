// Files whose size is said to be 0, or a page, whatever their content.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { mountDirectoryByFuse } from '../fixtures/fuse-mounted.js'

const run = promisify(execFile)
const shell = (command: string, cwd: string) =>
  run('sh', ['-c', command], { cwd }).then(
    ({ stdout }) => stdout,
    error => `${error.code} ${error.stdout} ${error.stderr}`,
  )

for (const policy of ['auto', 'strict'] as const) {
  t.test(`procfs and sysfs, ${policy}`, async t => {
    const { there } = await mountDirectoryByFuse(t, '/', policy)
    for (const command of [
      'cat proc/version',
      'wc -c <proc/version',
      'dd if=proc/version bs=1 skip=6 count=7 2>/dev/null',
      'cat sys/kernel/address_bits sys/kernel/cpu_byteorder',
      'wc -c <sys/kernel/address_bits',
      'cp proc/version /dev/stdout',
      'head -n 3 proc/kallsyms | cut -d" " -f2-',
      // Longer than a read, and than most.
      'sha256sum <proc/kallsyms',
      'grep -c . proc/kallsyms',
      // Of a size that is right.
      'sha256sum <sys/kernel/btf/vmlinux',
      'cat proc/self/mem',
    ])
      t.equal(await shell(command, there), await shell(command, '/'), command)

    const version = fs.readFileSync('/proc/version', 'utf8')
    const all = Array.from({ length: 50 }, (_, i) =>
      shell(i % 3 === 0 ? 'stat proc/version >/dev/null; cat proc/version' : 'cat proc/version', there),
    )
    t.same(new Set(await Promise.all(all)), new Set([version]), 'by many at once')
    t.equal(fs.statSync(path.join(there, 'proc/version')).size, 0, 'for stat it is as here')
  })

  t.test(`what is written to procfs, ${policy}`, async t => {
    const { there } = await mountDirectoryByFuse(t, '/proc', policy)
    const name = `${process.pid}/oom_score_adj`
    for (const value of ['501', '70', '999']) {
      t.equal(await shell(`echo ${value} >${name}`, there), '')
      t.equal(fs.readFileSync(`/proc/${name}`, 'utf8'), `${value}\n`)
      t.equal(await shell(`cat ${name}`, there), `${value}\n`)
    }
    fs.writeFileSync(`/proc/${name}`, '500')
    t.equal(await shell(`cat ${name}`, there), '500\n', 'and by others')
    t.match(await shell(`echo much >${name}`, there), /error|Invalid/)
  })
}
