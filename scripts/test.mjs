// Runs every check: formatter and linter, then all tests. The last line says how many passed and failed.
//
//   node scripts/test.mjs [test file...]
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..')
const REPORT = join(ROOT, '.tap/report.tap')

function run(command, ...args) {
  return spawnSync(join(ROOT, 'node_modules/.bin', command), args, {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  }).status
}

/** The totals that tap gives at the end of its report; nothing passed where there is no such line. */
function totals(report) {
  const summary = report.match(/^# \{ total: .*\}$/gm)?.at(-1) ?? ''
  const count = name => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0)
  return { passed: count('pass'), failed: count('fail'), skipped: count('skip') + count('todo') }
}

rmSync(REPORT, { force: true })
mkdirSync(dirname(REPORT), { recursive: true })
const lint = run('biome', 'ci', '--colors=off')
const tests = run('tap', 'run', '--reporter=base', '--output-file', REPORT, ...process.argv.slice(2))
const { passed, failed, skipped } = totals(existsSync(REPORT) ? readFileSync(REPORT, 'utf8') : '')
const broken = lint !== 0 || tests !== 0 || skipped > 0 || passed === 0
console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = broken ? 1 : 0
