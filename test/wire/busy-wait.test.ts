import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { addonCandidates, binding } from '../../src/native/binding.js'
import { BusyWait } from '../../src/wire/busy-wait.js'

/** Counts the waits awake, which end as `comesInTime` says. */
class Tally {
  awake = 0
  isClosed = false
  comesInTime = true

  start(): void {
    this.awake++
  }

  stop(): boolean {
    return this.comesInTime
  }

  close(): void {
    this.isClosed = true
  }
}

function waits(wait: BusyWait, times: number): void {
  for (let i = 0; i < times; i++) {
    wait.begin()
    wait.end()
  }
}

t.test('it stays awake for as long as that is of use', async t => {
  const tally = new Tally()
  const wait = new BusyWait(tally)
  waits(wait, 100)
  t.equal(tally.awake, 100)
  tally.comesInTime = false
  waits(wait, 6400)
  const inVain = tally.awake - 100
  t.ok(inVain > 90 && inVain < 110, `${inVain} of 6400 in vain`)
  tally.comesInTime = true
  tally.awake = 0
  waits(wait, 164)
  t.ok(tally.awake > 100, 'and again as soon as it is')
  wait.close()
  t.ok(tally.isClosed)
})

t.test('what comes without having been waited for changes nothing', async t => {
  const tally = new Tally()
  const wait = new BusyWait(tally)
  tally.comesInTime = false
  wait.end()
  wait.begin()
  t.equal(tally.awake, 1)
})

t.test('polling ends by itself, or when it is stopped', async t => {
  const polling = new binding.Polling()
  polling.start(60_000_000)
  await sleep(5)
  polling.stop()
  t.equal(polling.stop(), false, 'stopped')
  polling.start(1)
  await sleep(5)
  t.equal(polling.stop(), false, 'its time was over')
  polling.start(60_000_000)
  polling.close()
  polling.start(60_000_000)
  t.equal(polling.stop(), false, 'closed')
  polling.close()
})

t.test('events come while it polls, and a thread ends in spite of it', async t => {
  const [addon] = addonCandidates().slice(-1)
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const polling = new (require(${JSON.stringify(addon)}).Polling)()
     polling.start(600_000_000)
     parentPort.on('message', () => {
       parentPort.postMessage('heard')
       setTimeout(() => process.exit(7), 1)
     })`,
    { eval: true },
  )
  const heard = new Promise(resolve => worker.once('message', resolve))
  const exit = new Promise(resolve => worker.once('exit', resolve))
  worker.postMessage('hello')
  t.equal(await heard, 'heard')
  t.equal(await exit, 7)
})
