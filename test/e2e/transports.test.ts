// Machines without vhost-vsock and without a network: by virtio-serial ports, and by vhost-device-vsock.
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { machineFiles, readState } from '../../qemu/machine-directory.js'
import { binding } from '../../src/native/binding.js'
import { markOf, SERIAL_PORTS, serialPortSocket } from '../../src/transport/serial-line.js'
import { cpu, eventually, startCpu } from '../fixtures/cpu-command.js'
import { cpuVm } from '../fixtures/cpu-vm-command.js'
import { type Guest, startGuest } from '../fixtures/guest.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'
import { vhostDeviceVsock } from '../fixtures/vhost-device-vsock.js'

/** What every transport owes its user: files, in and out, and the exit code. */
async function runsCommands(t: Test, guest: Guest, way: RegExp): Promise<void> {
  const cwd = temporaryDirectory(t)
  const content = Buffer.alloc(1024 * 1024, 'every byte counts\n')
  fs.writeFileSync(path.join(cwd, 'mine'), content)
  const script = 'cat mine; cat >theirs; exit 42'
  const { code, stdout, stderr } = await cpu(guest, ['sh', '-c', script], {
    cwd,
    input: content,
    flags: ['-v'],
  })
  t.equal(code, 42, stderr)
  t.ok(stdout.equals(content))
  t.ok(fs.readFileSync(path.join(cwd, 'theirs')).equals(content))
  t.match(stderr, way)
}

t.test('virtio-serial', async t => {
  const guest = await startGuest(t, { net: 'serial' })
  const { directory, name } = guest.machine
  const ports = machineFiles(directory).serial
  const says = async (text: string) => {
    const { stdout, stderr } = await cpu(guest, ['echo', text])
    return stdout.toString() || stderr
  }

  t.match(guest.machine.addresses, [`virtio-serial${ports}`])
  await runsCommands(t, guest, /files, by FUSE, through ssh/)

  const endless = async (n: number) => {
    const client = startCpu(guest, ['sleep', `${1_000_000 + n}`], { flags: ['-v'] })
    let said = ''
    for await (const chunk of client.stderr!) {
      said += chunk
      if (said.includes('our files')) break
    }
    return client
  }
  // One after the other on the same port: each finds what is left of the one before.
  for (const n of [1, 2]) {
    const killed = await endless(n)
    killed.kill('SIGKILL')
    await once(killed, 'exit')
    t.equal(await says(`after ${n}`), `after ${n}\n`)
  }
  const left = 'cat /proc/[0-9]*/cmdline | tr "\\0" " " | grep -c "sleep 10000[0]" || true'
  const isOver = async () => (await cpu(guest, ['sh', '-c', left])).stdout.toString() === '0\n'
  t.ok(await eventually(isOver, 60_000), 'whose client was killed ends')

  const [one, other] = await Promise.all([says('one'), says('other')])
  t.strictSame([one, other], ['one\n', 'other\n'])

  const mark = markOf('d'.repeat(32)).toString('latin1')
  const line = net.connect(serialPortSocket(ports, 0))
  line.write(`${'SSH-2.0-rubbish\r\n'.repeat(5_000)}${mark.slice(0, -1)}`)
  line.write(`${mark}SSH-2.0-x\r\nno packets`)
  let said = ''
  for await (const chunk of line) {
    said += chunk.toString('latin1')
    if (said.split(mark).length > 2) break
  }
  t.match(said.split(mark), [/^/, /^SSH-2\.0-/, ''], 'the beginning, and the end that cpud makes of it')
  line.destroy()
  t.equal(await says('again'), 'again\n')

  const lock = fs.openSync(path.join(ports, 'lock'), 'r+')
  t.equal(binding.fsLock(lock, 1, 0n, BigInt(SERIAL_PORTS)), 0)
  const refused = await cpu(guest, ['true'])
  fs.closeSync(lock)
  t.equal(refused.code, 255)
  t.match(refused.stderr, /^cpu: cannot connect to virtio-serial\/.*: all 8 of its ports are in use \(/)

  const XDG_RUNTIME_DIR = process.env['XDG_RUNTIME_DIR']!
  const listed = await cpuVm(['list', '-json'], { env: { XDG_RUNTIME_DIR } })
  t.match(JSON.parse(listed.stdout.toString()), [
    { name, cid: null, tcpPort: null, addresses: [`virtio-serial${ports}`] },
  ])
})

t.test('vhost-device-vsock', async t => {
  const before = process.env['PATH']
  process.env['PATH'] = `${await vhostDeviceVsock()}:${before}`
  t.teardown(() => {
    process.env['PATH'] = before
  })
  const guest = await startGuest(t, { net: 'vhost-user' })
  const { directory, exited } = guest.machine
  await runsCommands(t, guest, /files, by FUSE, directly from unix\/.* vsock port 17010/)
  const forced = await cpu(guest, ['true'], { flags: ['-v', '-direct=false'] })
  t.match(forced.stderr, /files, by FUSE, through ssh/)

  process.kill(readState(directory)!.vhostUserVsock!.pid, 'SIGKILL')
  t.match(await exited, { kind: 'vhost-device-vsock', message: /^vhost-device-vsock ended: / })
})
