import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { signalExitCode } from '../../src/cli/exit-codes.js'

const mainUrl = new URL('../../src/cli/main.js', import.meta.url).href
const errorsUrl = new URL('../../src/errors.js', import.meta.url).href

/** Runs a program whose main function has the given body, and tells how it ended. */
async function run(body: string, options: { env?: NodeJS.ProcessEnv; closeStdout?: boolean } = {}) {
  const program = `
    import { runMain } from ${JSON.stringify(mainUrl)}
    import { CpuError, SystemError, UsageError } from ${JSON.stringify(errorsUrl)}
    await runMain('cpu', async argv => { ${body} }, 255)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, 'script', 'one', 'two'], {
    env: { ...process.env, CPU_HARNESS_DEBUG: '0', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const code = new Promise<number | null>(resolve => child.once('exit', resolve))
  if (options.closeStdout === true) child.stdout.destroy()
  const stdout = options.closeStdout === true ? '' : await text(child.stdout)
  return { stdout, stderr: await text(child.stderr), code: await code }
}

t.test('the code that main resolves to, with an open stdin', async t => {
  t.same(await run('process.stdin.resume(); return argv.length'), { stdout: '', stderr: '', code: 2 })
})

t.test('failures are one line and a code', async t => {
  for (const [body, stderr, code] of [
    [
      `throw new UsageError('unknown flag -x', 'did you mean -y?')`,
      'cpu: unknown flag -x (did you mean -y?)\n',
      2,
    ],
    [
      `throw new CpuError('ERR_CPU_X', 'no answer', { remedy: 'try later' })`,
      'cpu: no answer (try later)\n',
      255,
    ],
    [`throw new CpuError('ERR_CPU_X', 'no\\nanswer\\n')`, 'cpu: no answer\n', 255],
    [
      `throw new SystemError('ENODEV', -19, 'no such device', 'mount', '/mnt')`,
      'cpu: ENODEV: no such device, mount /mnt\n',
      255,
    ],
    [`throw 'text'`, 'cpu: text\n', 255],
    [`setTimeout(() => { throw new Error('later') }); await new Promise(() => {})`, 'cpu: later\n', 255],
    [`Promise.reject(new Error('unhandled')); await new Promise(() => {})`, 'cpu: unhandled\n', 255],
  ] as const)
    t.same(await run(body), { stdout: '', stderr, code }, stderr)
})

t.test('the stack is for those who ask', async t => {
  const { stderr } = await run(`throw new Error('deep')`, { env: { CPU_HARNESS_DEBUG: '1' } })
  t.match(stderr, /^cpu: deep\nError: deep\n {4}at /)
})

t.test('all output arrives before the exit', async t => {
  const { stdout, code } = await run(`process.stdout.write('x'.repeat(4_000_000)); return 7`)
  t.equal(stdout.length, 4_000_000)
  t.equal(code, 7)
})

t.test('a reader that has gone away is no failure', async t => {
  const body = `
    for (let i = 0; i < 100; i++) {
      process.stdout.write('x'.repeat(10_000))
      await new Promise(resolve => setImmediate(resolve))
    }
    return 3`
  t.match(await run(body, { closeStdout: true }), { stderr: '', code: 3 })
})

t.test('a signal is 128 and its number', async t => {
  t.equal(signalExitCode(15), 143)
})
