// From what a kernel says to the outcome of a run, and from that to an exit code.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Finding, findings } from '../../qemu/kernel-findings.js'
import { exitCodeOf, judge, kernelLogOf, NO_KERNEL_LOG, type Outcome } from '../../qemu/result.js'
import { packageRoot } from '../../src/version.js'

const ALL = { oops: true, warning: true }
const OOPS = { oops: true, warning: false }
const succeeded = { exitCode: 0 }

t.test('what kernels say when something is wrong in them', async t => {
  const lines: [kind: string | undefined, line: string][] = [
    ['oops', '[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000000'],
    ['oops', '[    2.1][   T12] Oops: 0002 [#1] PREEMPT SMP NOPTI'],
    ['oops', 'general protection fault, probably for non-canonical address 0xdead: 0000 [#1] PREEMPT SMP'],
    ['oops', 'Oops: general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP'],
    ['oops', 'invalid opcode: 0000 [#2] PREEMPT SMP'],
    ['oops', 'kernel BUG at mm/slub.c:4321!'],
    ['oops', 'BUG: KASAN: slab-out-of-bounds in kmalloc_oob_right+0x159/0x260'],
    ['oops', 'Internal error: Oops: 0000000096000004 [#1] SMP'],
    ['oops', 'Unable to handle kernel NULL pointer dereference at virtual address 0'],
    ['panic', 'Kernel panic - not syncing: sysrq triggered crash'],
    ['out-of-memory', 'Out of memory: Killed process 123 (tail) total-vm:1kB, anon-rss:1kB'],
    ['out-of-memory', 'Memory cgroup out of memory: Killed process 9 (cc1plus) total-vm:1kB'],
    ['warning', 'WARNING: CPU: 0 PID: 1 at kernel/sched/core.c:1 foo+0x1/0x2'],
    ['warning', 'WARNING: possible circular locking dependency detected'],
    ['warning', 'INFO: task kworker/0:1:12 blocked for more than 120 seconds.'],
    ['warning', 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [node:1]'],
    ['warning', 'BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!'],
    ['warning', 'rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'],
    ['warning', 'UBSAN: array-index-out-of-bounds in drivers/x.c:1:2'],
    // A program's fault, an untidy driver, a table of addresses: none of these is the kernel's end.
    [undefined, 'traps: node[12] general protection fault ip:5 sp:6 error:0 in node[1000+2000]'],
    [undefined, 'sh[99]: segfault at 0 ip 00000000deadbeef sp 00007ffc error 4 in sh[400000+1000]'],
    [undefined, '[    0.1] Spectre V2 : WARNING: Unprivileged eBPF is enabled'],
    [undefined, 'x86/cpu: VMX (outside TXT) disabled by BIOS'],
  ]
  for (const [kind, line] of lines) t.equal(findings([line])[0]?.kind, kind, line)
  t.strictSame(findings(['[    1.000000] WARNING: here']), [{ kind: 'warning', text: 'WARNING: here' }])
})

t.test('an oops is never green, unless it is asked for', async t => {
  const log = (...lines: string[]) => ({ ...NO_KERNEL_LOG, findings: findings(lines) })
  const oops = log('WARNING: CPU: 0', 'Oops: 0000 [#1]')
  const whole = judge(succeeded, [], oops, OOPS)
  t.match(whole, {
    outcome: { kind: 'oops', phase: 'command', command: succeeded },
    message: "the guest's kernel oopsed during the command, which ended with exit code 0: Oops: 0000 [#1]",
  })
  t.equal(exitCodeOf(whole.outcome), 125)
  t.equal(exitCodeOf(judge({ exitCode: 3 }, [], oops, OOPS).outcome), 125)
  t.equal(exitCodeOf(judge({ exitCode: 3 }, [], oops, { oops: false, warning: false }).outcome), 3)
  const atBoot: Finding[] = findings(['kernel BUG at x.c:1!'])
  t.match(judge(succeeded, atBoot, NO_KERNEL_LOG, OOPS).outcome, { kind: 'oops', phase: 'boot' })
  t.match(judge(succeeded, [], log('WARNING: CPU: 0'), OOPS).outcome, { kind: 'exit', exitCode: 0 })
  t.match(judge(succeeded, [], log('WARNING: CPU: 0'), ALL).outcome, { kind: 'kernel-warning' })
})

t.test('a kill for want of memory is told from another, and from a failure', async t => {
  const log = { ...NO_KERNEL_LOG, findings: findings(['Out of memory: Killed process 9 (tail)']) }
  const killed = { exitCode: 137, signal: 'SIGKILL' } as const
  t.match(judge(killed, [], log, ALL).outcome, { kind: 'out-of-memory' })
  t.match(judge({ exitCode: 137 }, [], log, ALL).outcome, { kind: 'out-of-memory' }, "a shell's last child")
  t.match(judge({ exitCode: 2 }, [], log, ALL).outcome, { kind: 'exit', exitCode: 2 })
  t.match(judge(killed, [], NO_KERNEL_LOG, ALL).outcome, { kind: 'signal', signal: 'SIGKILL' })
})

t.test('a kernel that has died is known by its taint where its log has lost it', async t => {
  const report = { lines: [], omitted: 0, overrun: true }
  const log = kernelLogOf({ ...report, taints: { before: 0, now: 1 << 7 } })
  t.match(log, { source: 'guest', omitted: 1, findings: [{ kind: 'oops' }] })
  t.strictSame(kernelLogOf({ ...report, taints: { before: 1 << 7, now: 1 << 7 } }).findings, [])
})

t.test('exit codes', async t => {
  const codes: [Outcome, number][] = [
    [{ kind: 'exit', exitCode: 42 }, 42],
    [{ kind: 'signal', signal: 'SIGSEGV' }, 139],
    [{ kind: 'interrupted', signal: 'SIGINT' }, 130],
    [{ kind: 'harness-error', code: 'ERR_CPU_USAGE' }, 2],
    [{ kind: 'harness-error', code: undefined }, 125],
    [{ kind: 'panic', phase: 'boot' }, 125],
    [{ kind: 'boot-timed-out' }, 125],
    [{ kind: 'transport-lost', guestAnswers: true }, 125],
  ]
  for (const [outcome, code] of codes) t.equal(exitCodeOf(outcome), code, outcome.kind)
})

t.test('every way for a run to end is documented, and no other', async t => {
  const text = (file: string) => readFileSync(join(packageRoot(), file), 'utf8')
  const kinds = (source: string, pattern: RegExp) =>
    [...source.matchAll(pattern)].map(([, kind]) => kind).sort()
  t.strictSame(
    kinds(text('docs/run-record.md'), /^\| `([a-z-]+)` \|.*\| .*(?:125|its own|128).* \|$/gm),
    kinds(text('qemu/result.ts'), /\| \{ readonly kind: '([a-z-]+)'/g),
  )
})
