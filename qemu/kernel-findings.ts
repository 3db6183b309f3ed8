// What of a kernel's log tells that something went wrong in it. Lines as the console has them, or as the guest
// reports them: with or without their stamps.

export type FindingKind = 'panic' | 'oops' | 'out-of-memory' | 'warning'

export interface Finding {
  readonly kind: FindingKind
  /** The line, without its stamp. */
  readonly text: string
}

/** `[   12.345678]`, and with CONFIG_PRINTK_CALLER `[    T1]` behind it. */
const STAMP = /^\[\s*\d+\.\d+\](?:\[\s*[TC]\d+\])?\s*/

/**
 * The first that matches counts. Lockups and stalls are warnings, as a host with too much to do makes them of itself;
 * whatever else the kernel calls a bug of its own is an oops.
 */
const SIGNS: readonly (readonly [FindingKind, RegExp])[] = [
  ['panic', /^Kernel panic - not syncing/],
  ['out-of-memory', /^(?:Memory cgroup out|Out) of memory(?: \(.*\))?: Killed process \d+/],
  ['warning', /^(?:watchdog: )?BUG: (?:soft lockup|workqueue lockup)/],
  ['oops', /^(?:BUG: |kernel BUG at |Oops(?::| -)|Internal error: |Unable to handle kernel )/],
  // arch/x86/kernel/dumpstack.c: `general protection fault, probably for ...: 0000 [#1] PREEMPT SMP`
  ['oops', /: [0-9a-f]{4,16} \[#\d+\]/],
  ['warning', /^(?:WARNING: |UBSAN: |INFO: task \S+ blocked for more than |INFO: possible )/],
  ['warning', /^rcu: .*(?:stall|starved)/],
]

const SHOWN_LINES = 20

/** What the lines tell, in their order. */
export function findings(lines: readonly string[]): Finding[] {
  return lines.flatMap(line => {
    const text = line.replace(STAMP, '')
    const kind = SIGNS.find(([, pattern]) => pattern.test(text))?.[0]
    return kind === undefined ? [] : [{ kind, text }]
  })
}

/** For people: from where the kernel says what is wrong, or else the end. */
export function excerpt(lines: readonly string[], count: number = SHOWN_LINES): readonly string[] {
  const kinds = lines.map(line => findings([line])[0]?.kind)
  const worst = kinds.findIndex(kind => kind !== undefined && kind !== 'warning')
  const start = worst < 0 ? kinds.indexOf('warning') : worst
  return start < 0 ? lines.slice(-count) : lines.slice(start, start + count)
}
