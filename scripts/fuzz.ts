// The fuzzer of the file server: npm run fuzz [-- -protocol fuse -seconds N -seed S], or the race against links
// swapped in, npm run fuzz -- -race [-protocol fuse -attempts N]. A session that fails is made as short as possible
// and written to test/fixtures/fuzz-corpus/, which every test run replays.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineFlags, parseFlags } from '../src/cli/flags.js'
import { runMain } from '../src/cli/main.js'
import { type FuzzProtocol, fuse, ninep } from '../test/fixtures/fuzz-protocol.js'
import { race } from '../test/fixtures/fuzz-race.js'
import { formatSession } from '../test/fixtures/fuzz-session.js'
import { FuzzTarget, minimise } from '../test/fixtures/fuzz-target.js'

const FLAGS = defineFlags({
  protocol: { kind: 'string', choices: ['9p', 'fuse'], default: '9p', help: 'which protocol is spoken' },
  seconds: { kind: 'integer', default: 60, min: 1, help: 'how long' },
  seed: { kind: 'integer', help: 'first seed' },
  race: { kind: 'boolean', help: 'walk names while another process swaps links in' },
  attempts: { kind: 'integer', default: 1_000_000, min: 1, help: 'of the race' },
})

void runMain('fuzz', async argv => {
  const { values } = parseFlags(FLAGS, argv)
  const protocol = values.protocol === 'fuse' ? fuse : ninep
  if (values.race) {
    const result = await race(protocol, values.attempts)
    console.log(JSON.stringify(result, undefined, 2))
    return result.problems.length > 0 ? 1 : 0
  }
  return fuzz(protocol, values.seed ?? Date.now() % 1_000_000_000, values.seconds)
})

/** Runs sessions of one seed after the other; 1 when one of them fails, which ends it. */
async function fuzz(protocol: FuzzProtocol, firstSeed: number, seconds: number): Promise<number> {
  const target = new FuzzTarget(protocol)
  await target.start()
  const end = Date.now() + seconds * 1000
  let seed = firstSeed
  try {
    for (; Date.now() < end; seed++) {
      const failure = await target.run(protocol.generate(seed))
      if (failure === undefined) continue
      console.log(`seed ${seed}: ${failure}`)
      await record(target, seed, failure)
      return 1
    }
  } finally {
    await target.remove()
    const { requests, replies, slowestProbe, largestMemoryMiB } = target
    console.log(`seeds ${firstSeed} to ${seed - 1}: ${requests} requests, ${replies} replies`)
    console.log(
      `another connection waited ${slowestProbe} ms at most, memory was ${largestMemoryMiB} MiB at most`,
    )
  }
  return 0
}

async function record(target: FuzzTarget, seed: number, failure: string): Promise<void> {
  const { corpus, generate } = target.protocol
  const shortest = await minimise(generate(seed), async candidate => {
    await target.stop()
    await target.start()
    return (await target.run(candidate)) !== undefined
  })
  const file = join(corpus, `seed-${seed}.txt`)
  writeFileSync(file, formatSession(shortest, `Seed ${seed}: ${failure}`))
  console.log(`written to ${file}`)
}
