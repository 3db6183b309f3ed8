import t from 'tap'
import { hostBudget, machineNeed, runWithin } from '../../../qemu/matrix/budget.js'

interface Job {
  readonly name: string
  readonly need: { readonly memoryMiB: number; readonly cpus: number }
}

const job = (name: string, memoryMiB = 1, cpus = 1): Job => ({ name, need: { memoryMiB, cpus } })

/** Runs jobs that end only when they are told to, and shows which run. */
function stage(jobs: readonly Job[], budget: { memoryMiB?: number; cpus?: number; jobs?: number }) {
  const running = new Map<string, (error?: Error) => void>()
  const much = Number.POSITIVE_INFINITY
  const end = runWithin({ memoryMiB: much, cpus: much, jobs: much, ...budget }, jobs, ({ name }) => {
    return new Promise((resolve, reject) => {
      running.set(name, error => {
        running.delete(name)
        if (error === undefined) resolve()
        else reject(error)
      })
    })
  })
  end.catch(() => undefined)
  const names = () => [...running.keys()].join(' ')
  const finish = async (name: string, error?: Error) => {
    running.get(name)!(error)
    await new Promise(setImmediate)
    return names()
  }
  return { end, names, finish }
}

t.test('as many at a time as there are jobs, processors and memory for', async t => {
  for (const budget of [{ jobs: 2 }, { cpus: 2 }, { memoryMiB: 2 }]) {
    const { end, names, finish } = stage([job('a'), job('b'), job('c'), job('d')], budget)
    t.equal(names(), 'a b')
    t.equal(await finish('b'), 'a c')
    t.equal(await finish('a'), 'c d')
    t.equal(await finish('c'), 'd')
    t.equal(await finish('d'), '')
    await end
  }
})

t.test('a small one goes first where a large one has no room', async t => {
  const { end, names, finish } = stage([job('a', 6), job('large', 8), job('small', 2)], { memoryMiB: 10 })
  t.equal(names(), 'a small')
  t.equal(await finish('a'), 'small large')
  t.equal(await finish('small'), 'large')
  await finish('large')
  await end
})

t.test('one that never fits runs when nothing else does', async t => {
  const { end, names, finish } = stage([job('a'), job('huge', 100), job('b')], { memoryMiB: 10 })
  t.equal(names(), 'a b')
  t.equal(await finish('a'), 'b')
  t.equal(await finish('b'), 'huge')
  await finish('huge')
  await end
})

t.test('a failure does not keep the others from running', async t => {
  const { end, finish } = stage([job('a'), job('b')], { jobs: 1 })
  t.equal(await finish('a', new Error('broken')), 'b')
  await finish('b')
  await t.rejects(end, { message: 'broken' })
})

t.test('nothing to do', async () => {
  await stage([], { jobs: 1 }).end
})

t.test('what there is on this machine, and what a machine takes of it', async t => {
  const budget = hostBudget({})
  t.ok(budget.memoryMiB >= 0 && Number.isInteger(budget.memoryMiB))
  t.ok(budget.cpus >= 1)
  t.match(hostBudget({ jobs: 3, memoryMiB: 100 }), {
    jobs: 3,
    memoryMiB: 100,
    cpus: Number.POSITIVE_INFINITY,
  })
  t.equal(machineNeed({ memoryMiB: 512, cpus: 2, accelerator: 'tcg' }).cpus, 2)
  t.equal(machineNeed({ memoryMiB: 512, cpus: 2, accelerator: 'kvm' }).cpus, 1)
  t.ok(machineNeed({ memoryMiB: 512, cpus: 2, accelerator: 'kvm' }).memoryMiB > 512)
})
