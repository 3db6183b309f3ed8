// A table as a picture: a group of horizontal bars for each row, drawn by gnuplot. Rows of one unit are drawn as they
// are; where units differ, each row is drawn relative to its reference column.

import { execa } from 'execa'
import { formatNumber, type RowReport, type TableReport } from './report.js'

// Okabe and Ito's colours, which colour-blind people can tell apart.
const COLOURS = ['#0072b2', '#e69f00', '#999999', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442']
/** From this ratio of the largest to the smallest bar on, the scale is logarithmic. */
const LOG_FROM = 20
const WIDTH = 960
const BAR_HEIGHT = 19
/** Of a row's height, what its bars take. */
const FILL = 0.82

interface Bar {
  readonly value: number
  readonly label: string
}

/** Draws the table into an SVG file. */
export async function plotTable(report: TableReport, localPath: string): Promise<void> {
  await execa('gnuplot', { input: gnuplotScript(report, localPath), timeout: 60_000 })
}

/** What gnuplot is told. */
export function gnuplotScript(report: TableReport, localPath: string): string {
  const { columns, rows } = report
  const isRelative = new Set(rows.map(({ unit }) => unit)).size > 1
  const bars = columns.map(column => rows.map(row => barOf(row, column, isRelative)))
  const values = bars.flat().flatMap(bar => (bar === undefined ? [] : [bar.value]))
  const low = Math.min(...values)
  const high = Math.max(...values)
  const isLog = high / low >= LOG_FROM
  const from = isLog ? low / (high / low) ** 0.1 : 0
  const to = isLog ? high * (high / low) ** 0.25 : high * 1.25
  const height = Math.round(rows.length * (columns.length + 0.8) * BAR_HEIGHT + 110)
  return [
    `set terminal svg size ${WIDTH},${height} font 'sans-serif,13' background 'white' noenhanced`,
    `set output ${quote(localPath)}`,
    `set title ${quote(report.title)} font ',16' noenhanced`,
    `set xlabel ${quote(axisLabel(report, isRelative, isLog))} noenhanced`,
    'set key outside top center horizontal noenhanced samplen 2 width 2',
    isLog ? 'set logscale x' : '',
    isLog ? "set format x '%g'" : "set format x '%.6g'",
    'set border 3',
    'set tics nomirror out scale 0.5',
    "set grid xtics lc rgb '#dddddd' lt 1",
    'set style fill solid noborder',
    `set xrange [${from}:${to}]`,
    `set yrange [0.4:${rows.length + 0.6}]`,
    `set ytics (${rows.map((row, i) => `${quote(row.name)} ${rows.length - i}`).join(', ')}) noenhanced`,
    isRelative ? `set arrow from 1,graph 0 to 1,graph 1 nohead lc rgb '#444444' dt 2 back` : '',
    ...bars.map((column, i) => dataBlock(i, column, columns.length, from)),
    `plot ${columns.map((column, i) => plotColumn(i, column)).join(', \\\n  ')}`,
  ].join('\n')
}

function barOf(row: RowReport, column: string, isRelative: boolean): Bar | undefined {
  const cell = row.cells[column]
  if (cell === undefined) return undefined
  const label = `${formatNumber(cell.median)} ${row.unit}`
  if (!isRelative) return { value: cell.median, label }
  return cell.ratio === undefined ? undefined : { value: cell.ratio, label }
}

function axisLabel({ rows, reference }: TableReport, isRelative: boolean, isLog: boolean): string {
  const scale = isLog ? ', logarithmic' : ''
  if (isRelative) return `speed relative to ${reference}, more is better${scale}`
  const [first] = rows
  return `${first?.unit}, ${first?.better === 'lower' ? 'less' : 'more'} is better${scale}`
}

/** x, y, lowest x, highest x, lowest y, highest y, label */
function dataBlock(index: number, bars: readonly (Bar | undefined)[], columns: number, from: number): string {
  const thickness = FILL / columns
  const lines = bars.flatMap((bar, row) => {
    if (bar === undefined) return []
    const top = bars.length - row + FILL / 2 - index * thickness
    const middle = top - thickness / 2
    return [
      `${bar.value} ${middle} ${from} ${bar.value} ${top - thickness * 0.92} ${top} ${quote(bar.label, '"')}`,
    ]
  })
  return [`$column${index} << END`, ...lines, 'END'].join('\n')
}

function plotColumn(index: number, column: string): string {
  const colour = COLOURS[index % COLOURS.length]
  const bars = `$column${index} using 1:2:3:4:5:6 with boxxyerror lc rgb '${colour}' title ${quote(column)}`
  const labels = `$column${index} using 1:2:7 with labels left offset 0.4,0 font ',11' noenhanced notitle`
  return `${bars}, ${labels}`
}

function quote(text: string, mark = "'"): string {
  return mark + text.replaceAll('\n', ' ').replaceAll(mark, '') + mark
}
