/** Functions of addon/mount.cc. Each returns 0 or a negative errno. */
export interface MountBinding {
  /** mount(2); empty `type` and `data` are passed as null. */
  mount(source: string, target: string, type: string, flags: number, data: string): number
  /** umount2(2). */
  unmount(target: string, flags: number): number
  /** chroot(2). */
  changeRoot(path: string): number
}
