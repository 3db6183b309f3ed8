// One end of what ssh-table.ts measures, as a process of its own, made of the very parts that cpu and cpud are made of:
//
//   ssh-end cpud LOAD HOSTKEY            prints its port; runs `LOAD drive ...` on its stream for each line on stdin
//   ssh-end cpu LOAD HOSTKEY PORT CIPHER gives its stream to `LOAD serve`
//   ssh-end relay PATH PORT              from a unix socket to TCP, through Node and nothing else; says `ready`
//   ssh-end unrelay PATH                 from TCP, whose port it prints, to a unix socket
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import readline from 'node:readline'
import ssh2 from 'ssh2'
import { connectFiles } from '../../src/cpud/file-connection.js'
import { closeFd, socketPair } from '../../src/native/fd-stream.js'
import { serverCiphers } from '../../src/ssh/algorithms.js'
import { batchWrites } from '../../src/ssh/batch-writes.js'
import { connectSsh } from '../../src/ssh/connect.js'
import { parseIdentity } from '../../src/ssh/identity.js'
import { joinChannel } from '../../src/ssh/join.js'
import { dial } from '../../src/transport/dial.js'
import { listen } from '../../src/transport/listen.js'

const NONCE = '0123456789abcdef0123456789abcdef'
const FORWARD = { host: '127.0.0.1', port: 20_000, nonce: NONCE }
const TIMEOUT_MS = 10_000

function say(line: string | number): void {
  process.stdout.write(`${line}\n`)
}

async function cpud(load: string, hostKey: string): Promise<void> {
  const algorithms = { cipher: serverCiphers({ aes: true }) } // every one that there is
  const server = new ssh2.Server({ hostKeys: [fs.readFileSync(hostKey)], algorithms }, client => {
    client.on('authentication', context => context.accept())
    client.once('error', () => process.exit(1)).once('close', () => process.exit())
    client.on('request', (accept, _reject, _name) => {
      accept?.(FORWARD.port)
      void drive(client)
    })
  })
  async function drive(client: ssh2.Connection): Promise<void> {
    const files = await connectFiles(client, { protocols: ['9p'], forward: FORWARD, direct: undefined })
    const fd = files.toMount().fileConnectionFd!
    say('ready')
    for await (const line of readline.createInterface(process.stdin)) {
      spawn(load, ['drive', ...line.split(' ')], { stdio: ['ignore', 'inherit', 'inherit', fd] })
    }
    files.close()
    client.end()
  }
  const listener = await listen({ net: 'tcp', host: '127.0.0.1', port: 0, family: 4 }, stream => {
    batchWrites(stream)
    server.injectSocket(stream as net.Socket)
  })
  say((listener.address as { port: number }).port)
}

async function cpu(load: string, hostKey: string, port: number, cipher: string): Promise<void> {
  const address = { net: 'tcp', host: '127.0.0.1', port, family: 4 } as const
  const client = await connectSsh(await dial(address, { timeoutMs: TIMEOUT_MS }), {
    peer: 'cpud',
    username: 'root',
    identities: [parseIdentity(hostKey, fs.readFileSync(hostKey))],
    verifyHostKey: async () => {},
    timeoutMs: TIMEOUT_MS,
    keepaliveIntervalMs: 15_000,
    ciphers: [cipher as ssh2.CipherAlgorithm],
  })
  client.once('close', () => process.exit())
  client.on('tcp connection', async (_details, accept) => {
    const channel = accept()
    await once(channel, 'readable')
    channel.read(NONCE.length)
    const [ours, theirs] = socketPair()
    joinChannel(channel, ours)
    spawn(load, ['serve'], { stdio: ['ignore', 'inherit', 'inherit', theirs] })
    closeFd(theirs)
  })
  client.forwardIn(FORWARD.host, 0, () => {})
}

async function relay(path: string, port: number): Promise<void> {
  const server = net.createServer(near => {
    const far = net.connect({ port, host: '127.0.0.1', noDelay: true })
    near.pipe(far).pipe(near)
  })
  server.listen(path)
  await once(server, 'listening')
  say('ready')
}

async function unrelay(path: string): Promise<void> {
  const server = net.createServer({ noDelay: true }, near => {
    const far = net.connect(path)
    near.pipe(far).pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  say((server.address() as net.AddressInfo).port)
}

const [role, first = '', second = '', third = '', fourth = ''] = process.argv.slice(2)
if (role === 'cpud') await cpud(first, second)
if (role === 'cpu') await cpu(first, second, Number(third), fourth)
if (role === 'relay') await relay(first, Number(second))
if (role === 'unrelay') await unrelay(first)
