import t from 'tap'
import { fuse } from '../fixtures/fuzz-protocol.js'
import { fuzzSuite } from '../fixtures/fuzz-suite.js'

fuzzSuite(t, fuse, { corpus: 30, fresh: 30, seed: 30_000, replies: 2500, attempts: 10_000 })
