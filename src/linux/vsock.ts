// Addresses of AF_VSOCK (linux/vm_sockets.h). CID and port are both unsigned 32-bit numbers.

/** Any CID of this machine, when listening. */
export const VMADDR_CID_ANY = 0xffff_ffff
export const VMADDR_CID_HYPERVISOR = 0
/** This machine itself, where the module vsock_loopback is loaded. */
export const VMADDR_CID_LOCAL = 1
export const VMADDR_CID_HOST = 2
/** Any free port, when listening. */
export const VMADDR_PORT_ANY = 0xffff_ffff
