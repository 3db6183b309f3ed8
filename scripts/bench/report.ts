// From samples to what people and programs read: medians, spreads, ratios, goals. Used by bench.ts and plot.ts.

import type { BenchGoal, BenchRow, BenchTable } from './table.js'

export interface CellReport {
  readonly samples: readonly number[]
  readonly median: number
  /** Half the distance of the lowest and the highest sample, as a part of the median. */
  readonly spread: number
  /** How many times as fast as the reference column; undefined where that was not measured. */
  readonly ratio: number | undefined
}

export interface GoalReport extends BenchGoal {
  /** Undefined where one of the columns was not measured, which is not met either. */
  readonly ratio: number | undefined
  readonly isMet: boolean
}

export interface RowReport {
  readonly name: string
  readonly unit: string
  readonly better: 'lower' | 'higher'
  /** By column, of those that were measured. */
  readonly cells: Readonly<Record<string, CellReport>>
  readonly goals: readonly GoalReport[]
}

export interface TableReport {
  readonly name: string
  readonly title: string
  readonly columns: readonly string[]
  readonly reference: string
  readonly rows: readonly RowReport[]
  readonly notes: readonly string[]
}

export function reportTable(table: BenchTable): TableReport {
  const { name, title, columns, notes } = table
  const firstGoal = table.rows.flatMap(row => row.goals ?? [])[0]
  const reference = table.reference ?? firstGoal?.reference ?? columns[0]!
  return { name, title, columns, reference, rows: table.rows.map(row => reportRow(row, reference)), notes }
}

function reportRow(row: BenchRow, reference: string): RowReport {
  const { name, unit, better } = row
  const cells: Record<string, CellReport> = {}
  for (const [column, samples] of Object.entries(row.samples)) {
    if (samples.length === 0) continue
    const middle = median(samples)
    const spread = (Math.max(...samples) - Math.min(...samples)) / 2 / middle
    cells[column] = { samples, median: middle, spread, ratio: speedRatio(row, column, reference) }
  }
  const goals = (row.goals ?? []).map(goal => {
    const ratio = speedRatio(row, goal.column, goal.reference)
    return { ...goal, ratio, isMet: ratio !== undefined && ratio >= goal.atLeast }
  })
  return { name, unit, better, cells, goals }
}

function speedRatio({ better, samples }: BenchRow, column: string, reference: string): number | undefined {
  const [one = [], other = []] = [samples[column], samples[reference]]
  if (one.length === 0 || other.length === 0) return undefined
  return better === 'higher' ? median(one) / median(other) : median(other) / median(one)
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Three significant digits, thousands separated. */
export function formatNumber(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** The table, its goals and its notes, as lines for a terminal. */
export function formatTable(report: TableReport): string {
  const { columns, reference, rows } = report
  const head = ['', '', ...columns.map(column => (column === reference ? `${column} (=1)` : column))]
  const body = rows.map(row => [
    row.name,
    row.unit,
    ...columns.map(column => formatCell(row.cells[column], column === reference)),
  ])
  const lines = [`${report.name}: ${report.title}`, '', ...align([head, ...body]), '']
  const goals = rows.flatMap(row => row.goals.map(goal => formatGoal(row, goal)))
  if (goals.length > 0) lines.push(...goals, '')
  lines.push(...report.notes.map(note => `- ${note}`))
  lines.push('- medians, with half the distance of the lowest and highest sample, and speed by that of (=1)')
  return lines.join('\n')
}

function formatCell(cell: CellReport | undefined, isReference: boolean): string {
  if (cell === undefined) return '-'
  const value = `${formatNumber(cell.median)} ±${Math.round(cell.spread * 100)}%`
  return isReference || cell.ratio === undefined ? value : `${value}  x${cell.ratio.toFixed(2)}`
}

function formatGoal({ name }: RowReport, { column, reference, atLeast, ratio, isMet }: GoalReport): string {
  const found = ratio === undefined ? 'not measured' : `x${ratio.toFixed(2)}`
  const bound = atLeast < 1 ? `1/${formatNumber(1 / atLeast)}` : formatNumber(atLeast)
  return `${isMet ? 'met    ' : 'NOT MET'}  ${name}: ${column} at least ${bound} times ${reference}: ${found}`
}

/** The first two columns flush left, the others flush right. */
function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map(row => row[i]!.length)))
  return rows.map(row =>
    row
      .map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}
