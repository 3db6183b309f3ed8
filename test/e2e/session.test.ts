// Sessions in a real guest, with the user's files: over TCP or vsock, whichever the launcher chose.
import t from 'tap'
import { guestForFile } from '../fixtures/guest.js'
import { sessionSuite } from '../fixtures/session-suite.js'

sessionSuite(t, await guestForFile({ name: 'sessions' }))
