// How the kernel mounts files by FUSE: Documentation/filesystems/fuse.rst in Linux.

/** The data of mount(2), for the device that `fd` is open on. Anybody may use the files, by the modes they have. */
export function fuseMountOptions(fd: number | string): string {
  return `fd=${fd},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other`
}
