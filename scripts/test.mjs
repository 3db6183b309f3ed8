// Runs every check: formatter and linter, then all tests. The last line says how many passed and failed.
//
//   node scripts/test.mjs [test file...]
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
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

/** Counts the assertions in a TAP stream: test points that are no summary of a subtest. */
function count(report) {
  const points = report.match(/^ *(not )?ok \d+(?!.*\{$).*$/gm) ?? []
  const failed = points.filter(point => /^ *not ok/.test(point) && !/# TODO/i.test(point)).length
  const skipped = points.filter(point => /# SKIP/i.test(point)).length
  return { passed: points.length - failed - skipped, failed, skipped }
}

rmSync(REPORT, { force: true })
mkdirSync(dirname(REPORT), { recursive: true })
const lint = run('biome', 'ci', '--colors=off')
const tests = run('tap', 'run', '--reporter=terse', '--output-file', REPORT, ...process.argv.slice(2))
const { passed, failed, skipped } = count(readFileSync(REPORT, 'utf8'))
const broken = lint !== 0 || tests !== 0 || skipped > 0 || passed === 0
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exitCode = broken ? 1 : 0
