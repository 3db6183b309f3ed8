import t from 'tap'
import { KernelLogReaders } from '../../qemu/kernel-log-readers.js'

t.test('each reader gets what was logged since it was opened, whoever asked', async t => {
  let logged: string[] = ['before']
  const readers = new KernelLogReaders(async () => {
    const lines = logged
    logged = []
    return { lines, omitted: 1, overrun: false, taints: { before: 0, now: lines.length } }
  })
  const first = readers.open()
  t.match(await first.read(1), { lines: ['before'] })
  logged = ['one']
  const second = readers.open()
  t.match(await second.read(1), { lines: ['one'] })
  logged = ['two']
  const both = await Promise.all([first.read(1), second.read(1)])
  t.match(both, [
    { lines: ['one', 'two'], omitted: 2 },
    { lines: ['two'], omitted: 2 },
  ])
})

t.test('a guest that does not answer, and then does', async t => {
  let answers = false
  const readers = new KernelLogReaders(async () =>
    answers ? { lines: ['late'], omitted: 0, overrun: false, taints: { before: 0, now: 0 } } : undefined,
  )
  const reader = readers.open()
  t.equal(await reader.read(1), undefined)
  answers = true
  t.match(await reader.read(1), { lines: ['late'] })
})
