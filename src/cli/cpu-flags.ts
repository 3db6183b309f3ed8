// The flags of `cpu`; help, man page and completion derive from this table.
import { CACHE_POLICIES } from '../fuse/session.js'
import { CACHE_MODES } from '../namespace/ninep-mount.js'
import { NETWORKS } from '../transport/address.js'
import { defineFlags } from './flags.js'
import type { HelpText } from './help.js'

export const CPU_FLAGS = defineFlags({
  net: {
    kind: 'string',
    choices: NETWORKS,
    placeholder: 'NET',
    help: 'transport: tcp, tcp4, tcp6, unix, unix-vsock or vsock',
  },
  sp: {
    kind: 'integer',
    placeholder: 'PORT',
    help: 'port of cpud there (default 17010, or what ssh_config says)',
  },
  key: { kind: 'string', placeholder: 'FILE', help: 'private key to log in with, and no other' },
  useKey: { kind: 'boolean', default: true, help: 'with -useKey=false, log in without any key' },
  hk: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'public key that the host must have; known_hosts is not read then',
  },
  user: { kind: 'string', placeholder: 'NAME', help: 'user to log in as' },
  files: {
    kind: 'string',
    choices: ['auto', 'fuse', '9p', 'none'],
    placeholder: 'HOW',
    help: 'how your files get there: by FUSE, which is faster, by 9P, or not at all; auto takes FUSE where the other side can (default auto)',
  },
  '9p': { kind: 'boolean', default: true, help: 'as -files none' },
  namespace: {
    kind: 'string',
    placeholder: 'LIST',
    help: 'what of yours is bound over the other machine: DIR or REMOTE=LOCAL, separated by colons; + adds to the default, none is none (default /lib:/lib64:/usr:/bin:/etc:/home)',
  },
  fstab: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'fstab(5) lines to mount there besides, instead of those in $CPU_FSTAB',
  },
  'fstab-strict': { kind: 'boolean', help: 'a line of the fstab that fails ends the session' },
  root: {
    kind: 'string',
    placeholder: 'DIR',
    default: '/',
    help: 'what of the local file system is served; the command starts there unless the current directory is in it',
  },
  ro: { kind: 'boolean', help: 'serve it read-only' },
  export: {
    kind: 'string',
    choices: ['namespace', 'all'],
    placeholder: 'WHAT',
    help: 'what of that the other machine may see: what the namespace and the fstab name and the current directory, or all (default namespace, and all where there is none)',
  },
  ssh: { kind: 'boolean', help: 'plain ssh: no files, no mounts' },
  env: {
    kind: 'list',
    placeholder: 'LIST',
    help: 'variables that go there, as NAME or NAME=VALUE, separated by commas; + adds to all of yours, which is the default',
  },
  cd: {
    kind: 'string',
    placeholder: 'DIR',
    help: 'directory to start in, instead of the current one; that there is none ends the session',
  },
  cache: {
    kind: 'string',
    choices: [...CACHE_POLICIES, ...CACHE_MODES],
    placeholder: 'MODE',
    help: 'what the other kernel may keep of your files. By FUSE: strict, nothing; auto, all until it is told of a change; always, all. By 9P: none, readahead, mmap or loose (default mmap; readahead and loose need Linux 6.4 there, and loose sees nothing that others change)',
  },
  msize: {
    kind: 'integer',
    min: 4096,
    max: 1_048_576,
    placeholder: 'BYTES',
    help: 'largest message of 9P (default 1048576)',
  },
  mountopts: {
    kind: 'string',
    placeholder: 'OPTIONS',
    help: 'more mount options of 9P, separated by commas',
  },
  direct: {
    kind: 'boolean',
    default: true,
    help: 'on one physical machine (vsock, a unix socket, loopback), have the files go past ssh; with =false, through it',
  },
  srv: {
    kind: 'string',
    placeholder: 'ADDRESS',
    help: 'serve files alone, without host and command, on unix:PATH, tcp:HOST:PORT or vsock:PORT',
  },
  'srv-open': { kind: 'boolean', help: 'with -srv: where others can reach it too, who need no password' },
  tty: {
    kind: 'string',
    choices: ['auto', 'force', 'no'],
    default: 'auto',
    help: 'whether the program gets a terminal',
  },
  timeout: {
    kind: 'duration',
    min: 1,
    help: 'time for the connection and login (default 20s, or what ssh_config says)',
  },
  timeout9p: { kind: 'duration', default: 10_000, help: 'time for the other side to come for the files' },
  'dry-run': { kind: 'boolean', help: 'show what would be done there, and do nothing' },
  v: { kind: 'boolean', help: 'say what is done' },
  d: { kind: 'boolean', help: 'show the SSH protocol' },
  dbg9p: { kind: 'boolean', help: 'show each message about files' },
  dump: {
    kind: 'string',
    placeholder: 'FILE',
    help: 'write all that -v, -d and -dbg9p say to a file',
  },
  version: { kind: 'boolean', help: 'show the version' },
  help: { kind: 'boolean', help: 'show this' },
  h: { kind: 'boolean', hidden: true, help: 'show this' },
})

export const CPU_HELP: HelpText = {
  usage: 'cpu [flags] host [command [argument...]]',
  summary: 'Runs a command on another machine, with your files, directory and environment under it.',
  examples: [
    { command: 'cpu -net vsock 3 date', does: 'in the virtual machine with CID 3' },
    { command: 'cpu board make test', does: 'on a host, or a Host of ssh_config' },
    { command: 'CPU_FSTAB="myfs /mnt virtiofs rw 0 0" cpu v ls /mnt', does: 'with a virtiofs share besides' },
    { command: 'cpu v', does: 'your shell, there' },
    { command: 'cpu -srv unix:/tmp/9p -root . -ro', does: 'the file server alone, for any 9P client' },
  ],
  footer:
    "Exit code: the command's own; 128+n when signal n ended it; 255 when it could not be run; 2 for wrong usage.",
}
