// The rooms of ARCHITECTURE.md: who imports whom, read from the import statements.
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import t from 'tap'
import { packageRoot } from '../src/version.js'

interface Import {
  /** Relative to the package, with its `.ts`. */
  readonly importer: string
  /** The same for a module of ours, otherwise as it is written. */
  readonly imported: string
}

/** Static, dynamic and re-exporting ones, those of types included. */
const SPECIFIER = /(?:^[^/'"]*?\bfrom|^import|\bimport\()\s*'([^']+)'/gm

const files = ['src', 'qemu'].flatMap(room =>
  readdirSync(join(packageRoot(), room), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => join(room, name)),
)

const text = (file: string): string => readFileSync(join(packageRoot(), file), 'utf8')

const imports: Import[] = files.flatMap(importer =>
  [...text(importer).matchAll(SPECIFIER)].map(([, specifier = '']) => ({
    importer,
    imported: specifier.startsWith('.')
      ? normalize(join(dirname(importer), specifier)).replace(/\.js$/, '.ts')
      : specifier,
  })),
)

/** Imports of `imported` by files below one of `importers`, as lines for a report. */
function found(importers: readonly string[], imported: RegExp): string[] {
  return imports
    .filter(({ importer }) => importers.some(folder => importer.startsWith(folder)))
    .filter(entry => imported.test(entry.imported))
    .map(entry => `${entry.importer} imports ${entry.imported}`)
}

t.test('the imports are found', async t => {
  t.ok(imports.length > 300)
  const missing = imports.filter(({ imported }) => imported.endsWith('.ts') && !files.includes(imported))
  t.same(missing, [])
})

t.test('src/ does not know the launcher, but for the entry point of its command', async t => {
  t.same(found(['src/'], /^qemu\//), ['src/bin/cpu-vm.ts imports qemu/cli.ts'])
})

t.test('client and daemon do not know each other', async t => {
  t.same(found(['src/client/'], /^src\/cpud\//), [])
  t.same(found(['src/cpud/'], /^src\/client\//), [])
})

t.test('what both share knows neither of them, nor the entry points', async t => {
  const ends = ['src/client/', 'src/cpud/', 'src/bin/']
  const shared = [...new Set(files.filter(file => file.startsWith('src/')).map(folderOf))].filter(
    folder => !ends.includes(folder),
  )
  t.ok(shared.includes('src/ssh/'))
  t.same(found(shared, /^src\/(client|cpud|bin)\//), [])
})

/** The file itself where it lies in no folder of src/. */
function folderOf(file: string): string {
  return /^src\/[^/]+\//.exec(file)?.[0] ?? file
}

t.test('one file loads the addon', async t => {
  const loads = /\bcreateRequire\b|\bdlopen\b|\brequire\(/
  // These write a program's start, which a Node of its own runs: /init in the guest.
  const writers = ['qemu/image.ts', 'qemu/startup-snapshot.ts']
  t.same(
    files.filter(file => loads.test(text(file)) && !writers.includes(file)),
    ['src/native/binding.ts'],
  )
  t.same(found(['src/', 'qemu/'], /\.node$/), [])
})

t.test('nothing is asked of Node that a start-up snapshot keeps from where it was made', async t => {
  const names = '(arch|machine|release|type|version)'
  const kept = new RegExp(`\\bos\\.${names}\\(|\\b${names}\\b[^}]*\\} from 'node:os'`)
  t.same(
    files.filter(file => file.startsWith('src/') && kept.test(text(file))),
    [],
  )
})

t.test('the tree of files knows no protocol, and the protocol no sockets', async t => {
  t.same(found(['src/fs/'], /^src\/(9p|fuse)\//), [])
  const sockets =
    /^(node:)?(net|tls|dgram|http|https|http2|child_process)$|^ssh2$|^src\/(native|transport|ssh)\//
  t.same(found(['src/9p/', 'src/fuse/'], sockets), [])
})

t.test('only our own modules, those of Node, and the dependencies of package.json are imported', async t => {
  const { dependencies } = JSON.parse(text('package.json')) as { dependencies: Record<string, string> }
  const known = [...Object.keys(dependencies), 'node:', 'src/', 'qemu/']
  const others = imports.filter(({ imported }) => !known.some(start => imported.startsWith(start)))
  t.same(others, [])
})
