// The flags of `cpud`; help, man page and completion derive from this table.
import { defineFlags } from './flags.js'
import type { HelpText } from './help.js'

export const CPUD_FLAGS = defineFlags({
  net: {
    kind: 'list',
    placeholder: 'NET',
    choices: ['tcp', 'tcp4', 'tcp6', 'unix', 'unix-vsock', 'vsock'],
    help: 'transport to listen on (default tcp)',
  },
  addr: {
    kind: 'string',
    placeholder: 'ADDR',
    help: 'address to listen on: a host for tcp, a path for unix, a CID for vsock (default any)',
  },
  sp: { kind: 'integer', placeholder: 'PORT', help: 'port to listen on (default 17010)' },
  pk: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'authorized_keys of sshd(8): who may log in; read again at each login',
  },
  hk: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'private host key; made when it does not exist (default ~/.ssh/cpud_host_ed25519)',
  },
  'insecure-no-auth': { kind: 'boolean', help: 'let anybody in who can connect' },
  user: {
    kind: 'string',
    placeholder: 'NAME',
    help: 'run programs as that user, with his groups and home, instead of as the one cpud runs as',
  },
  'login-grace': {
    kind: 'duration',
    placeholder: 'D',
    default: 60_000,
    min: 1,
    max: 0x7fff_ffff,
    help: 'time to log in',
  },
  'max-startups': {
    kind: 'integer',
    placeholder: 'N',
    default: 64,
    min: 1,
    max: 100_000,
    help: 'connections that may be waiting to log in',
  },
  register: {
    kind: 'string',
    placeholder: 'ADDR',
    help: 'say "ok" to HOST:PORT, vsock/CID:PORT or unix/PATH once this listens',
  },
  registerTO: {
    kind: 'duration',
    placeholder: 'D',
    default: 5_000,
    min: 1,
    max: 0x7fff_ffff,
    help: 'how long to try that',
  },
  klog: { kind: 'boolean', help: "log to the kernel's log as well" },
  init: { kind: 'boolean', help: 'be PID 1: mount, load modules, reap, then serve' },
  d: { kind: 'boolean', help: 'show the SSH protocol' },
  version: { kind: 'boolean', help: 'show the version' },
  help: { kind: 'boolean', help: 'show this' },
  h: { kind: 'boolean', hidden: true, help: 'show this' },
})

export const CPUD_HELP: HelpText = {
  usage: 'cpud [flags]',
  summary: 'Serves cpu sessions: runs programs here with the files of whoever connects.',
  examples: [
    { command: 'cpud -pk ~/.ssh/authorized_keys', does: 'on TCP port 17010' },
    { command: 'cpud -pk keys -net vsock', does: 'in a virtual machine, for its host' },
    { command: 'cpud -init', does: 'as process 1 of a machine: docs/pid1.md' },
  ],
  footer:
    'Run by an ordinary user, it has files by FUSE alone, in user namespaces; 9P, other file systems and -init take root.',
}
