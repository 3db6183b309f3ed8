// Makes dist/bundle: each command as one file for Node 20, with the native modules they load beside them. One
// file starts twice as fast as a hundred; cpud and the native modules are what the launcher puts into a guest.

import { copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const programs = ['bin/cpu', 'bin/cpud', 'bin/cpu-vm', 'client/file-worker']
const directory = join(root, 'dist/bundle')
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))
/** Becomes `directory` when it is complete. */
const unfinished = `${directory}.${process.pid}`

/** Native modules that packages bring are copied beside the bundle under their own names. */
const nativeModules = {
  name: 'native-modules',
  setup(bundler) {
    const copied = new Set()
    bundler.onResolve({ filter: /\.node$/ }, args => {
      const source = createRequire(join(args.resolveDir, 'x.js')).resolve(args.path)
      copied.add(source)
      return { path: `./${basename(source)}`, external: true }
    })
    bundler.onEnd(async () => {
      for (const source of copied) await copyFile(source, join(unfinished, basename(source)))
    })
  },
}

/** What of ssh2 is not as we need it, and no option of its; each has to be found. */
const sshChanges = {
  'protocol/crypto.js': [
    // Go's SSH and OpenSSH take packets of 256 KiB, and u-root's client sends a long command in one.
    ['const MAX_PACKET_SIZE = 35000;', 'const MAX_PACKET_SIZE = 256 * 1024;'],
    // Where a start-up snapshot is made, native modules cannot be loaded, and there is no WebAssembly.
    [
      /try {\s+binding = require[^}]+} = binding\);\s+} catch {}/,
      text => `const loadCiphers = () => { ${text} };
const { startupSnapshot } = require('v8');
const started = new Promise(resolve => {
  const start = () => resolve(loadCiphers());
  if (startupSnapshot.isBuildingSnapshot()) startupSnapshot.addDeserializeCallback(start);
  else start();
});`,
    ],
    // Poly1305 in WebAssembly is for those who have no native ciphers.
    [
      'POLY1305_WASM_MODULE = await',
      text => `await started;
        if (binding) return resolve();
        ${text}`,
    ],
  ],
  'agent.js': [
    // Those of an agent on Windows. Node 22 crashes where it is to keep an error in a snapshot.
    [/const ERROR = {[^}]+}/, 'const ERROR = {}'],
  ],
}

const changedSsh = {
  name: 'changed-ssh',
  setup(bundler) {
    for (const [file, changes] of Object.entries(sshChanges))
      bundler.onLoad({ filter: new RegExp(`/ssh2/lib/${file}$`) }, async ({ path }) => {
        let contents = await readFile(path, 'utf8')
        for (const [from, to] of changes) {
          if (contents.split(from).length !== 2) throw new Error(`not once in ${path}: ${from}`)
          contents = contents.replace(from, to)
        }
        return { contents }
      })
  },
}

/** ssh2's agents for HTTP are for nobody here, and loading what they need takes as long as a tenth of all. */
const withoutHttp = {
  name: 'without-http',
  setup(bundler) {
    bundler.onLoad({ filter: /ssh2\/lib\/http-agents\.js$/ }, () => ({ contents: 'module.exports = {}' }))
  },
}

await mkdir(unfinished, { recursive: true })
try {
  await bundle()
  await rm(directory, { recursive: true, force: true })
  await rename(unfinished, directory)
} catch (error) {
  // esbuild has said what is wrong.
  console.error(`bundle: ${error.message}`)
  process.exitCode = 1
} finally {
  await rm(unfinished, { recursive: true, force: true })
}

async function bundle() {
  await build({
    entryPoints: Object.fromEntries(
      programs.map(program => [basename(program), join(root, `src/${program}.ts`)]),
    ),
    outdir: unfinished,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    // A bundle has no import.meta; what asks for its own URL gets the bundle's.
    banner: { js: 'const bundleUrl = require("node:url").pathToFileURL(__filename).href;' },
    define: { 'import.meta.url': 'bundleUrl', CPU_HARNESS_VERSION: JSON.stringify(version) },
    // ssh2 takes its ciphers' order from it where it is installed, and does without it.
    external: ['cpu-features'],
    plugins: [nativeModules, changedSsh, withoutHttp],
    legalComments: 'linked',
    logLevel: 'warning',
  })
  await copyFile(join(root, 'build/Release/cpu_harness.node'), join(unfinished, 'cpu_harness.node'))
}
