// npm run demo: boots a guest and does the main job in it, saying what it did. With -vsock it does so in the nested
// lab, where vhost-vsock works.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { execa } from 'execa'
import { listMachines } from '../qemu/index.js'
import { defineFlags, parseFlags } from '../src/cli/flags.js'
import { runMain } from '../src/cli/main.js'
import { CpuError } from '../src/errors.js'
import { quoteWord } from '../src/ssh/quote.js'
import { packageRoot } from '../src/version.js'
import { startNestedLab } from './nested-lab.js'

const FLAGS = defineFlags({
  vsock: { kind: 'boolean', help: 'show it over real vhost-vsock, in the nested lab' },
})

const bin = (name: string) => path.join(packageRoot(), `dist/bundle/${name}.cjs`)
const NAME = 'demo'

/** A command line of ours as the user would type it, run and timed. Throws when it does not end with `expected`. */
async function show(
  label: string,
  argv: readonly string[],
  options: { env?: Record<string, string>; cwd: string; expected?: number },
): Promise<void> {
  const [command = '', ...args] = argv
  const started = performance.now()
  const { all, exitCode } = await execa(process.execPath, [bin(command), ...args], {
    all: true,
    reject: false,
    stdin: 'ignore',
    cwd: options.cwd,
    env: options.env ?? {},
  })
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const environment = Object.entries(options.env ?? {}).map(([key, value]) => `${key}="${value}" `)
  const typed = environment.join('') + argv.map(quoteIfNeeded).join(' ')
  console.log(`\n# ${label}\n$ ${typed}`)
  if (all !== '') console.log(all)
  console.log(`exit code ${exitCode}, ${seconds} s`)
  const { expected = 0 } = options
  if (exitCode !== expected)
    throw new CpuError('ERR_CPU_DEMO', `${typed}: exit code ${exitCode} instead of ${expected}`)
}

/** Reads all files of a directory, twice, and says how long each took. */
const READ_TWICE = `for pass in first second; do
  start=$(date +%s%N); cat many/* > /dev/null; end=$(date +%s%N)
  echo "$pass time: $(((end - start) / 1000000)) ms"
done`

/** Looks at a file until it says something else. */
const LOOK = `times=0; until read word < watched.txt && test "$word" = after; do times=$((times + 1)); done
echo "it says $word"; echo "looked $times times before"`

/** Changes a file here while a command there looks at it, and says how long that took to be seen. */
async function showChange(label: string, argv: readonly string[], directory: string): Promise<void> {
  const watched = path.join(directory, 'watched.txt')
  fs.writeFileSync(watched, 'before\n')
  const [command = '', ...args] = argv
  const typed = [...argv, 'sh', '-c', LOOK]
  console.log(`\n# ${label}\n$ ${typed.map(quoteIfNeeded).join(' ')}`)
  const session = execa(process.execPath, [bin(command), ...args, 'sh', '-c', `echo looking; ${LOOK}`], {
    cwd: directory,
    stdin: 'ignore',
    timeout: 300_000,
  })
  let changed = 0
  for await (const line of session) {
    if (line === 'looking') {
      await setTimeout(1000)
      changed = performance.now()
      fs.writeFileSync(watched, 'after\n')
      continue
    }
    console.log(
      line.startsWith('it says') ? `${line}, ${Math.round(performance.now() - changed)} ms later` : line,
    )
  }
}

function quoteIfNeeded(word: string): string {
  return /[\s'"|$;]/.test(word) ? quoteWord(word) : word
}

async function demonstrate(): Promise<number> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'cpu-demo-'))
  const shared = path.join(directory, 'shared')
  fs.mkdirSync(shared)
  fs.writeFileSync(path.join(directory, 'mine.txt'), 'a file of yours\n')
  fs.writeFileSync(path.join(shared, 'hello.txt'), 'a file on a virtiofs share\n')
  fs.mkdirSync(path.join(directory, 'many'))
  for (let i = 0; i < 200; i++) fs.writeFileSync(path.join(directory, `many/${i}`), `file ${i}\n`)
  const options = { cwd: directory }
  await show(
    'a guest is booted; what was chosen, and why',
    ['cpu-vm', 'start', '-v', '-name', NAME, '-share', `myfs=${shared}`],
    options,
  )
  try {
    const machine = listMachines().find(({ state }) => state.name === NAME)?.state
    if (machine === undefined) throw new CpuError('ERR_CPU_DEMO', `the machine ${NAME} is not listed`)
    const byName = ['cpu', NAME]
    const host = machine.cid === undefined ? byName : ['cpu', '-net', 'vsock', String(machine.cid)]
    await show(`its kernel (this host runs ${os.release()})`, [...host, 'uname', '-r'], options)
    await show('a command', [...host, 'date'], options)
    await show(
      'a file of yours is read there, in your current directory',
      [...host, 'cat', 'mine.txt'],
      options,
    )
    await show(
      'a file is written there ...',
      [...byName, 'sh', '-c', 'uname -a > written-there.txt'],
      options,
    )
    console.log(
      `... and is here: ${fs.readFileSync(path.join(directory, 'written-there.txt'), 'utf8').trim()}`,
    )
    await show(
      'what was read once is in memory there: two hundred files, twice',
      [...byName, 'sh', '-c', READ_TWICE],
      options,
    )
    await showChange('and what is changed here meanwhile is told', byName, directory)
    const env = { CPU_FSTAB: 'myfs /mnt virtiofs rw 0 0' }
    await show('a virtiofs share, mounted for this one command', [...byName, 'cat', '/mnt/hello.txt'], {
      ...options,
      env,
    })
    await show('the exit code of a command that fails', [...byName, 'sh', '-c', 'exit 42'], {
      ...options,
      expected: 42,
    })
  } finally {
    await show('the end of the guest', ['cpu-vm', 'stop', NAME], options)
    fs.rmSync(directory, { recursive: true })
  }
  const over =
    process.env['CPU_DEMO_NESTED'] === undefined
      ? ''
      : ' All of this ran in a guest itself, with KVM and vhost-vsock emulated.'
  console.log(`\nThat was the main job.${over}`)
  return 0
}

async function demonstrateNested(): Promise<number> {
  console.log(
    'booting the outer guest, whose KVM and vhost-vsock work; all that follows happens inside it, emulated twice',
  )
  await using lab = await startNestedLab({ onMessage: line => console.log(line) })
  const self = [process.execPath, 'dist/scripts/demo.js']
  const command = lab.command(self, { CPU_DEMO_NESTED: '1' })
  const cpu = [bin('cpu'), ...lab.flags, lab.outer.name, ...command]
  const { exitCode } = await execa(process.execPath, cpu, {
    reject: false,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  return exitCode ?? 1
}

await runMain('demo', async argv => {
  const { values } = parseFlags(FLAGS, argv)
  return values.vsock ? demonstrateNested() : demonstrate()
})
