// From samples to the table that npm run bench prints, and to what gnuplot draws.

import t from 'tap'
import { gnuplotScript } from '../../scripts/bench/plot.js'
import { formatNumber, formatTable, median, reportTable } from '../../scripts/bench/report.js'
import type { BenchTable } from '../../scripts/bench/table.js'

const table: BenchTable = {
  name: 'example',
  title: "One way and another's",
  columns: ['ours', 'theirs', 'missing'],
  rows: [
    {
      name: 'many',
      unit: 'op/s',
      better: 'higher',
      samples: { ours: [300, 100, 200], theirs: [100, 100], missing: [] },
      goals: [
        { column: 'ours', reference: 'theirs', atLeast: 2 },
        { column: 'ours', reference: 'theirs', atLeast: 2.01 },
      ],
    },
    {
      name: 'long',
      unit: 's',
      better: 'lower',
      samples: { ours: [8], theirs: [4] },
      goals: [
        { column: 'ours', reference: 'theirs', atLeast: 1 / 3 },
        { column: 'ours', reference: 'missing', atLeast: 1 },
      ],
    },
  ],
  notes: ['a note'],
}

t.test('medians', async t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(formatNumber(123_456), '123,000')
  t.equal(formatNumber(0.012345), '0.0123')
})

t.test('ratios are of speed, goals are met or not', async t => {
  const { reference, rows } = reportTable(table)
  t.equal(reference, 'theirs')
  const [many, long] = rows
  t.same(many?.cells['ours'], { samples: [300, 100, 200], median: 200, spread: 0.5, ratio: 2 })
  t.equal(many?.cells['missing'], undefined)
  t.equal(long?.cells['ours']?.ratio, 0.5)
  t.same(
    rows.flatMap(row => row.goals.map(({ isMet }) => isMet)),
    [true, false, true, false],
  )
})

t.test('the reference may be named', async t => {
  const { reference, rows } = reportTable({ ...table, reference: 'ours' })
  t.equal(reference, 'ours')
  t.equal(rows[0]?.cells['theirs']?.ratio, 0.5)
})

t.test('printed', async t => {
  const lines = formatTable(reportTable(table)).split('\n')
  t.match(lines[2], /^ +ours +theirs \(=1\) +missing$/)
  t.match(lines[3], /^many +op\/s +200 ±50% {2}x2\.00 +100 ±0% +-$/)
  t.ok(lines.includes('met      many: ours at least 2 times theirs: x2.00'))
  t.ok(lines.includes('NOT MET  many: ours at least 2.01 times theirs: x2.00'))
  t.ok(lines.includes('met      long: ours at least 1/3 times theirs: x0.50'))
  t.ok(lines.includes('NOT MET  long: ours at least 1 times missing: not measured'))
  t.ok(lines.includes('- a note'))
})

t.test('drawn: relative where units differ, logarithmic where sizes do', async t => {
  const mixed = gnuplotScript(reportTable(table), '/tmp/x.svg')
  t.match(mixed, 'speed relative to theirs')
  t.notMatch(mixed, 'set logscale')
  t.match(mixed, "'One way and anothers'", 'a quote cannot end the string')
  const [first] = table.rows
  const wide = { ...first!, name: 'wide', samples: { ours: [1], theirs: [5000] }, goals: [] }
  const script = gnuplotScript(reportTable({ ...table, rows: [first!, wide] }), '/tmp/x.svg')
  t.match(script, 'set logscale x')
  t.match(script, 'op/s, more is better, logarithmic')
  t.match(script, /^5000 .* "5,000 op\/s"$/m)
})
