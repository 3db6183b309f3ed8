// Reads as a manual: what each part of a machine adds to QEMU's command line and to the kernel's.

import t from 'tap'
import * as devices from '../../qemu/devices.js'

const line = (device: devices.Device) => device.qemu.join(' ')

t.test('board', t => {
  t.equal(
    line(devices.board({ memoryMiB: 1024, cpus: 1, sharedMemory: false })),
    '-nodefaults -no-user-config -no-reboot -display none -machine q35,hpet=off,smbus=off,sata=off -m 1024M -smp 1',
  )
  t.match(
    line(devices.board({ memoryMiB: 512, cpus: 2, sharedMemory: true })),
    '-object memory-backend-memfd,id=memory,size=512M,share=on -machine q35,hpet=off,smbus=off,sata=off,memory-backend=memory -m 512M -smp 2',
  )
  const memoryFile = { path: '/cache/a,b', keeps: false }
  t.match(
    line(devices.board({ memoryMiB: 512, cpus: 2, sharedMemory: false, memoryFile })),
    '-object memory-backend-file,id=memory,size=512M,mem-path=/cache/a,,b,share=off -machine q35,hpet=off,smbus=off,sata=off,memory-backend=memory',
  )
  t.end()
})

t.test('other boards', t => {
  const size = { memoryMiB: 512, cpus: 1 }
  t.match(
    line(devices.board({ ...size, machine: 'microvm', sharedMemory: true })),
    ' -machine microvm,pcie=on,rtc=on,memory-backend=memory -m 512M ',
  )
  t.match(
    line(devices.board({ ...size, machine: 'virt', sharedMemory: false })),
    ' -machine virt,gic-version=3 -m 512M ',
  )
  const { append } = devices.serialConsole({ machine: 'virt', log: '/c', socket: '/s' })
  t.strictSame(append, ['console=ttyAMA0'])
  const controls = (['q35', 'microvm', 'virt'] as const).map(machine => [
    line(devices.controlLine('/p', machine)).replace(/^-chardev \S+ /, ''),
    devices.controlDevice(machine),
  ])
  t.strictSame(controls, [
    ['-serial chardev:control', '/dev/ttyS1'],
    ['-device isa-serial,chardev=control,index=1', '/dev/ttyS1'],
    ['-device pci-serial,chardev=control', '/dev/ttyS0'],
  ])
  t.end()
})

t.test('processor', t => {
  t.equal(line(devices.acceleration('tcg', 'aarch64')), '-accel tcg,thread=multi -cpu max,pauth-impdef=on')
  t.equal(line(devices.acceleration('kvm')), '-accel kvm -cpu host')
  t.equal(line(devices.acceleration('tcg')), '-accel tcg,thread=multi -cpu max,-erms')
  t.end()
})

t.test('serial lines: the console into a file, the control line on a socket', t => {
  t.equal(
    line(devices.serialConsole({ log: '/run/v/console.log', socket: '/run/v/console.sock' })),
    '-chardev socket,id=console,path=/run/v/console.sock,server=on,wait=off,logfile=/run/v/console.log,logappend=on -serial chardev:console',
  )
  t.equal(
    line(devices.controlLine('/run/a,b/control.sock')),
    '-chardev socket,id=control,path=/run/a,,b/control.sock,server=on,wait=on -serial chardev:control',
  )
  t.equal(line(devices.monitor('/run/v/qmp.sock')), '-qmp unix:/run/v/qmp.sock,server=on,wait=off')
  t.end()
})

t.test('ways to reach the guest', t => {
  t.equal(line(devices.vsock({ cid: 3 })), '-device vhost-vsock-pci,guest-cid=3,vhostfd=3')
  t.equal(
    line(devices.vhostUserVsock({ socket: '/run/v/vhost.sock' })),
    '-chardev socket,id=vsock,path=/run/v/vhost.sock -device vhost-user-vsock-pci,chardev=vsock',
  )
  t.match(
    line(devices.serialPorts({ directory: '/run/v/serial' })),
    '-device virtio-serial-pci,max_ports=9 -chardev socket,id=port0,path=/run/v/serial/0.sock,server=on,wait=off -device virtserialport,chardev=port0,name=org.cpu-harness.0 -chardev socket,id=port1,',
  )
  t.equal(
    line(devices.userNetwork({ hostPort: 40000, guestPort: 17010 })),
    '-netdev user,id=network,hostfwd=tcp:127.0.0.1:40000-:17010 -device virtio-net-pci,netdev=network,romfile=',
  )
  t.end()
})

t.test('share', t => {
  t.equal(
    line(devices.share({ index: 0, tag: 'src', socket: '/run/v/virtiofs-src.sock' })),
    '-chardev socket,id=share0,path=/run/v/virtiofs-src.sock -device vhost-user-fs-pci,chardev=share0,tag=src',
  )
  t.end()
})

t.test('disks, in their order', t => {
  const disk = { hostPath: '/a,b.img', format: 'raw', readOnly: true, snapshot: false } as const
  t.equal(
    line(devices.disk({ ...disk, index: 0 })),
    '-drive file=/a,,b.img,id=disk0,if=none,format=raw,readonly=on -device virtio-blk-pci,drive=disk0',
  )
  t.match(
    line(devices.disk({ ...disk, index: 1, format: 'qcow2', readOnly: false, snapshot: true })),
    'id=disk1,if=none,format=qcow2,snapshot=on -device virtio-blk-pci,drive=disk1',
  )
  t.end()
})

t.test('ways in for people', t => {
  t.equal(
    line(devices.humanMonitor('/run/v/monitor.sock')),
    '-chardev socket,id=monitor,path=/run/v/monitor.sock,server=on,wait=off -mon chardev=monitor,mode=readline',
  )
  const { qemu, append } = devices.debuggerStub('/run/v/gdb.sock')
  t.equal(qemu.join(' '), '-gdb unix:/run/v/gdb.sock,server=on,wait=off')
  t.strictSame(append, ['nokaslr'])
  t.end()
})

t.test('all together', t => {
  const parts = [
    devices.boot({ image: '/k', initrd: '/i', append: 'loglevel=7' }),
    devices.serialConsole({ log: '/c', socket: '/s' }),
    devices.vsock({ cid: 4 }),
    devices.vsockLoopback(),
  ]
  const args = devices.commandLine(parts)
  t.strictSame(args.slice(0, 4), ['-kernel', '/k', '-initrd', '/i'])
  t.strictSame(args.slice(-2), ['-append', 'panic=-1 quiet loglevel=7 console=ttyS0'])
  t.strictSame(devices.wantedModules(parts), ['vmw_vsock_virtio_transport', 'vsock_loopback'])
  t.end()
})
