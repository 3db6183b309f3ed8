import t from 'tap'
import { ninep } from '../fixtures/fuzz-protocol.js'
import { fuzzSuite } from '../fixtures/fuzz-suite.js'

fuzzSuite(t, ninep, { corpus: 24, fresh: 60, seed: 20_000, replies: 5000, attempts: 100_000 })
