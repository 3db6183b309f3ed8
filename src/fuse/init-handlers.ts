// The beginning and the end of a connection.

import { areIds, Owners, ownIds } from './owners.js'
import { EXPIRE_MINOR, FUSE_MAJOR, FUSE_MIN_MINOR, FUSE_MINOR, initFlag } from './protocol.js'
import { type CachePolicy, type Handlers, noReply } from './session.js'

/** Requests that the kernel has under way in the background, such as read-ahead, and when it holds back. */
const maxBackground = 64
const congestionThreshold = 48
const pageSize = 4096
/** struct fuse_init_out */
const replySize = 64
/** Up to here it has something in it. */
const replyUsed = 32

const flagsOfAll =
  initFlag.asyncRead |
  initFlag.bigWrites |
  initFlag.autoInvalData |
  initFlag.readdirplus |
  initFlag.readdirplusAuto |
  initFlag.asyncDio |
  initFlag.parallelDirops |
  initFlag.maxPages |
  initFlag.handleKillprivV2

const flagsOf: Record<CachePolicy, number> = {
  strict: initFlag.posixLocks | initFlag.flockLocks,
  auto: initFlag.cacheSymlinks,
  // The kernel then believes its own sizes and times, whatever happens elsewhere.
  always: initFlag.cacheSymlinks | initFlag.writebackCache,
}

const flagsOfImplicitOpens = initFlag.noOpenSupport | initFlag.noOpendirSupport

export const initHandlers: Handlers<'SESSION_IDS' | 'INIT' | 'DESTROY'> = {
  SESSION_IDS(session, ids) {
    if (session.isInitialised || session.owners !== undefined || !areIds(ids))
      session.end(`session ids ${ids.uid} and ${ids.gid} are out of place`)
    else session.owners = new Owners(ownIds(), ids)
    return noReply
  },

  INIT(session, { major, minor, maxReadahead, flags }, _header, reply) {
    if (session.isInitialised || major < FUSE_MAJOR || (major === FUSE_MAJOR && minor < FUSE_MIN_MINOR)) {
      session.end(`FUSE ${major}.${minor} is not spoken here`)
      return noReply
    }
    session.isInitialised = true
    session.canExpire = major > FUSE_MAJOR || minor >= EXPIRE_MINOR
    session.opensImplicitly =
      session.policy !== 'strict' &&
      session.tree.opensEverything === true &&
      (flags & flagsOfImplicitOpens) === flagsOfImplicitOpens
    const offered =
      flagsOfAll | flagsOf[session.policy] | (session.opensImplicitly ? flagsOfImplicitOpens : 0)
    const to = reply.body(replySize)
    const end = to.at + replySize
    to.u32(FUSE_MAJOR)
    to.u32(Math.min(minor, FUSE_MINOR))
    to.u32(maxReadahead)
    to.u32((flags & offered) >>> 0)
    to.u16(maxBackground)
    to.u16(congestionThreshold)
    to.u32(session.maxWrite)
    to.u32(1) // nanoseconds
    to.u16(session.maxWrite / pageSize)
    to.u16(0)
    to.bytes.fill(0, end - (replySize - replyUsed), end)
    return reply.end(replySize)
  },

  DESTROY(_session, _request, _header, reply) {
    return reply.empty()
  },
}
