// The package as a project has it installed: the programs in docs/api.md are checked against its types, and the first runs.
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { packageRoot } from '../../src/version.js'
import { installPackage } from '../fixtures/installed-package.js'
import { privateRuntime } from '../qemu/private-runtime.js'
import { realKernel } from '../qemu/real-kernel.js'

const { image, release } = await realKernel()
const TSC = path.join(packageRoot(), 'node_modules/typescript/bin/tsc')
const COMPILER_OPTIONS = {
  target: 'es2022',
  lib: ['es2023', 'esnext.disposable'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
}

t.test('what docs/api.md shows', async t => {
  privateRuntime(t)
  const project = installPackage(t)
  const documentation = readFileSync(path.join(packageRoot(), 'docs/api.md'), 'utf8')
  const programs = [...documentation.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, program = '']) => program)
  t.ok(programs.length > 1)
  programs.forEach((program, index) => {
    writeFileSync(path.join(project, `program-${index}.ts`), program)
  })
  writeFileSync(path.join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER_OPTIONS }))
  const { status, stdout } = spawnSync(process.execPath, [TSC, '-p', '.'], { cwd: project, encoding: 'utf8' })
  t.equal(status, 0, stdout)
  const said = execFileSync(process.execPath, ['program-0.js', image], { cwd: project, encoding: 'utf8' })
  t.equal(said, `0 ${release}\n`)
})
