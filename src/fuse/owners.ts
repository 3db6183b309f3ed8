// Owners as a session's user is to see them: what is this process's own is his there, whatever number he has.

/** A user and his group. */
export interface Ids {
  readonly uid: number
  readonly gid: number
}

/** (uid_t) -1: no id; to chown(2), the one that is there. */
const noId = 0xffff_ffff

/**
 * Translates the ids of one user here to those of one user there, and back; all others stay what they are. That is for
 * the eye and for chown(2) only: whatever the other side says, the server acts with its own rights.
 */
export class Owners {
  readonly #here: Ids
  readonly #there: Ids

  constructor(here: Ids, there: Ids) {
    this.#here = here
    this.#there = there
  }

  uidThere(uid: number): number {
    return uid === this.#here.uid ? this.#there.uid : uid
  }

  gidThere(gid: number): number {
    return gid === this.#here.gid ? this.#there.gid : gid
  }

  uidHere(uid: number): number {
    return uid === this.#there.uid ? this.#here.uid : uid
  }

  gidHere(gid: number): number {
    return gid === this.#there.gid ? this.#here.gid : gid
  }
}

/** By whom files made here are owned. */
export function ownIds(): Ids {
  return { uid: process.geteuid!(), gid: process.getegid!() }
}

export function areIds({ uid, gid }: Ids): boolean {
  return uid !== noId && gid !== noId
}
