import t from 'tap'
import { workingDirectoryCandidates } from '../../src/namespace/working-directory.js'

t.test('where a program starts', async t => {
  for (const [directory, hasFiles, expected] of [
    ['/home/me', true, ['/home/me', '/tmp/cpu/home/me']],
    ['/tmp/foo', true, ['/tmp/foo', '/tmp/cpu/tmp/foo']],
    ['/', true, ['/tmp/cpu']],
    ['/tmp', true, ['/tmp/cpu/tmp']],
    ['/proc/self', true, ['/proc/self', '/tmp/cpu/proc/self']],
    ['/dev', true, ['/dev', '/tmp/cpu/dev']],
    ['/devel', true, ['/devel', '/tmp/cpu/devel']],
    ['/tmp/cpu/x', true, ['/tmp/cpu/x']],
    ['/tmp/local', true, ['/tmp/local']],
    ['/home/me', false, ['/home/me']],
    ['/', false, ['/']],
    ['/tmp', false, ['/tmp']],
  ] as const)
    t.same(workingDirectoryCandidates(directory, hasFiles), expected, `${directory} ${hasFiles}`)
})
