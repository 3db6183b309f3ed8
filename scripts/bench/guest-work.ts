// What the guest of the benchmark works on, made below one directory of the host, and the programs it works with, as
// the root of a small system. Called by guest-host.ts, where the guest's host is.
import { mkdirSync, writeFileSync } from 'node:fs'
import { copyFile, mkdir, readdir, realpath, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { sharedLibraries } from '../../qemu/libraries.js'

export interface WorkSizes {
  /** In as many directories as 20 to each makes. */
  readonly files: number
  readonly mebibytes: number
  /** C files of the project. */
  readonly sources: number
}

/** What guest-agent.sh can do with them. */
export const WORKS = ['find', 'tar', 'read', 'write', 'git', 'python', 'node', 'make'] as const
export type Work = (typeof WORKS)[number]

/** Those that are done a second time at once, with what the first time left in caches; others remove what they make. */
export const WORKS_AGAIN: ReadonlySet<Work> = new Set(
  WORKS.filter(work => work !== 'write' && work !== 'make'),
)

/** For people. */
export function workName(work: Work, { files, mebibytes, sources }: WorkSizes): string {
  const names: Readonly<Record<Work, string>> = {
    find: `find, ${files} files`,
    tar: `tar, ${files} files`,
    read: `read ${mebibytes} MiB`,
    write: `write ${mebibytes} MiB, fsync`,
    git: `git status, ${files} files`,
    python: 'python: asyncio, json, email',
    node: 'node -e 1',
    make: `make, ${sources + 1} C files`,
  }
  return names[work]
}

const FILES_PER_DIRECTORY = 20
const MEBIBYTE = 1 << 20
const CFLAGS = '-O1'
const PYTHON = '/usr/bin/python3'

/** Makes `tree` (a git repository), `big`, `project` and `python` below `directory`. */
export async function makeWork(directory: string, sizes: WorkSizes): Promise<void> {
  makeTree(path.join(directory, 'tree'), sizes.files)
  await makeRepository(path.join(directory, 'tree'))
  await writeFile(path.join(directory, 'big'), Buffer.alloc(sizes.mebibytes * MEBIBYTE, 'cpu-harness\n'))
  makeProject(path.join(directory, 'project'), sizes.sources)
  await copyPython(path.join(directory, 'python'))
}

/** Files of 1 to 8 KiB, as sources are. */
function makeTree(directory: string, files: number): void {
  for (let i = 0; i < files; i++) {
    const folder = path.join(directory, `d${Math.floor(i / FILES_PER_DIRECTORY)}`)
    if (i % FILES_PER_DIRECTORY === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, `file-${i}.txt`), `${i} line\n`.repeat(100 + (i % 8) * 100))
  }
}

/**
 * An index that holds through every mount: what they differ in (inode numbers, change times, owners) is not compared,
 * and files as old as the index are not read again.
 */
async function makeRepository(directory: string): Promise<void> {
  const options = { cwd: directory, timeout: 600_000 }
  const long = new Date(Date.now() - 3_600_000)
  const git = (...args: string[]) =>
    execa('git', ['-c', 'user.name=b', '-c', 'user.email=b@b', ...args], options)
  await execa('find', ['.', '-type', 'f', '-exec', 'touch', '-d', long.toISOString(), '{}', '+'], options)
  await git('init', '-q', '-b', 'main')
  await git('config', 'core.checkStat', 'minimal')
  await git('config', 'core.trustctime', 'false')
  await git('config', 'gc.auto', '0')
  await git('add', '.')
  await git('commit', '-q', '-m', 'files')
  await git('gc', '-q')
}

function makeProject(directory: string, sources: number): void {
  mkdirSync(directory, { recursive: true })
  const put = (name: string, text: string) => writeFileSync(path.join(directory, name), text)
  const names = Array.from({ length: sources }, (_, i) => `part${i}`)
  put('parts.h', names.map(name => `int ${name}(int x);\n`).join(''))
  for (const [i, name] of names.entries()) put(`${name}.c`, source(name, i))
  put('main.c', mainSource(names))
  const objects = ['main', ...names].map(name => `${name}.o`).join(' ')
  put(
    'Makefile',
    `CFLAGS = ${CFLAGS}\nprogram: ${objects}\n\t$(CC) -o $@ $^\n${objects}: parts.h\nclean:\n\trm -f program *.o\n`,
  )
}

function source(name: string, seed: number): string {
  const headers = ['stdio', 'stdlib', 'string'].map(header => `#include <${header}.h>\n`).join('')
  return `${headers}#include "parts.h"
int ${name}(int x) {
  char text[32];
  snprintf(text, sizeof text, "%d", x * ${seed + 3});
  int sum = 0;
  for (size_t i = 0; i < strlen(text); i++) sum += abs(text[i] - '0');
  return sum;
}
`
}

function mainSource(names: readonly string[]): string {
  const sum = names.map(name => `${name}(x)`).join(' + ')
  return `#include <stdio.h>\n#include "parts.h"\nint main(void) {\n  int x = 42;\n  printf("%d\\n", ${sum});\n  return 0;\n}\n`
}

/** The interpreter, its shared libraries, and its modules with their byte code; no tests and no packages. */
async function copyPython(directory: string): Promise<void> {
  const interpreter = await realpath(PYTHON)
  const ask = 'import sysconfig; print(sysconfig.get_path("stdlib"))'
  const { stdout: modules } = await execa(interpreter, ['-I', '-c', ask])
  await mkdir(path.join(directory, 'bin'), { recursive: true })
  await mkdir(path.join(directory, 'lib'), { recursive: true })
  await copyFile(interpreter, path.join(directory, 'bin/python3'))
  await copyLibraries(interpreter, path.join(directory, 'lib'))
  const target = path.join(directory, 'lib', path.basename(modules))
  await mkdir(target)
  const leftOut = [
    'test',
    'tests',
    'dist-packages',
    'site-packages',
    'idlelib',
    'lib2to3',
    'ensurepip',
    'config-*',
  ]
  const excluded = leftOut.map(name => `--exclude=${name}`)
  await copyTree(modules, target, excluded)
  // Where the distribution has not compiled them; the time in each is that of its source.
  await execa(interpreter, ['-I', '-m', 'compileall', '-q', target], { reject: false, timeout: 600_000 })
}

/** This Node, with its shared libraries. */
export async function copyNode(directory: string): Promise<void> {
  await mkdir(path.join(directory, 'bin'), { recursive: true })
  await mkdir(path.join(directory, 'lib'), { recursive: true })
  await copyFile(process.execPath, path.join(directory, 'bin/node'))
  await copyLibraries(process.execPath, path.join(directory, 'lib'))
}

async function copyLibraries(program: string, directory: string): Promise<void> {
  for (const library of await sharedLibraries([program]))
    await copyFile(library, path.join(directory, path.basename(library)))
}

async function copyTree(from: string, to: string, excluded: readonly string[]): Promise<void> {
  const script = 'from=$1 to=$2; shift 2; tar -C "$from" -cf - "$@" . | tar -C "$to" -xf -'
  await execa('bash', ['-o', 'pipefail', '-c', script, 'bash', from, to, ...excluded], { timeout: 600_000 })
}

/** For work on files. */
const WORK_PROGRAMS =
  'as bash cat cc cp dd find gcc git ld make mkdir mount rm sh ssh sshfs stat sync tar umount'.split(' ')

/** What gcc starts and links with, as it names it. */
const COMPILER_PROGRAMS = ['cc1', 'collect2', 'as', 'ld']
const COMPILER_FILES = [
  ...['crt1.o', 'crti.o', 'crtn.o', 'Scrt1.o', 'crtbegin.o', 'crtbeginS.o', 'crtend.o', 'crtendS.o'],
  ...[
    'libgcc.a',
    'libgcc_s.so',
    'libgcc_s.so.1',
    'libc.so',
    'libc.so.6',
    'libc_nonshared.a',
    'liblto_plugin.so',
  ],
]

/** Copies the programs that work on what makeWork made, with what a compiler needs for `project`; see copyPrograms. */
export async function copyWorkPrograms(directory: string, project: string): Promise<void> {
  const compiler = await Promise.all([
    ...COMPILER_PROGRAMS.map(name => askCompiler(`-print-prog-name=${name}`)),
    ...COMPILER_FILES.map(name => askCompiler(`-print-file-name=${name}`)),
  ])
  await copyPrograms(directory, [...WORK_PROGRAMS, ...compiler], await projectHeaders(project))
}

/**
 * Copies programs with their shared libraries, as the root of a small system. Links are followed: paths in it are those
 * by which programs look for their files.
 */
export async function copyPrograms(
  directory: string,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<void> {
  const programs = (await Promise.all(names.map(findProgram))).filter(found => found !== undefined)
  const libraries = await sharedLibraries(programs.filter(file => !/\.(o|a|so)$/.test(file)))
  const files = new Set<string>()
  for (const file of [...programs, ...libraries, ...more]) {
    files.add(path.join(await realpath(path.dirname(file)), path.basename(file)))
  }
  await mkdir(directory, { recursive: true })
  const script = 'tar --dereference --no-recursion -C / -cf - -T - | tar -C "$1" -xf -'
  await execa('bash', ['-o', 'pipefail', '-c', script, 'bash', directory], {
    input: [...files].map(file => `${file.slice(1)}\n`).join(''),
    timeout: 600_000,
  })
}

const PROGRAM_DIRECTORIES = ['/usr/bin', '/usr/sbin', '/bin', '/sbin']

async function findProgram(name: string): Promise<string | undefined> {
  if (name.startsWith('/')) return path.normalize(name)
  for (const directory of PROGRAM_DIRECTORIES) {
    const names: string[] = await readdir(directory).catch(() => [])
    if (names.includes(name)) return path.join(directory, name)
  }
  return undefined
}

async function askCompiler(question: string): Promise<string> {
  return (await execa('gcc', [question])).stdout.trim()
}

async function projectHeaders(project: string): Promise<string[]> {
  const { stdout } = await execa('bash', ['-c', `gcc ${CFLAGS} -M *.c`], { cwd: project })
  return stdout.split(/[\s\\]+/).filter(word => word.startsWith('/') && !word.startsWith(project))
}
