// What a benchmark measures, as data: printed, compared with its goals and drawn by report.ts.

/** One table: rows are pieces of work, columns ways of doing them, measured alternately in one run. */
export interface BenchTable {
  /** Names the plot's file: lower case, with hyphens. */
  readonly name: string
  readonly title: string
  readonly columns: readonly string[]
  /** The column that the others' ratios are to; the first goal's reference if not given, or the first column. */
  readonly reference?: string
  readonly rows: readonly BenchRow[]
  /** What a reader must know: machine, kernel, what was left out and why. */
  readonly notes: readonly string[]
}

export interface BenchRow {
  readonly name: string
  /** Of the samples, as in `s`, `MB/s`, `op/s`. */
  readonly unit: string
  readonly better: 'lower' | 'higher'
  /** By column; a column without samples was not measured. */
  readonly samples: Readonly<Record<string, readonly number[]>>
  readonly goals?: readonly BenchGoal[]
}

/** A bound for the ratio of two columns' medians, speed of `column` to speed of `reference`, more being better. */
export interface BenchGoal {
  readonly column: string
  readonly reference: string
  readonly atLeast: number
}

/** What bench.ts tells the maker of a table. */
export interface BenchOptions {
  /** How many alternating repetitions, instead of the table's own number. */
  readonly repeat: number | undefined
  /** Little work and few repetitions: whether it runs, not what it measures. */
  readonly quick: boolean
  /** Progress, for people. */
  readonly say: (line: string) => void
}

export type MeasureTable = (options: BenchOptions) => Promise<BenchTable>
