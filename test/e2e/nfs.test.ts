// fstab.examples/nfs.fstab, on a machine whose kernel has NFS, from a server on this one.
import fs from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { findKernel } from '../../qemu/index.js'
import { packageRoot } from '../../src/version.js'
import { boardImage, startBoard } from '../fixtures/board.js'
import { cpu } from '../fixtures/cpu-command.js'
import { startNfsServer } from '../fixtures/nfs-server.js'
import { temporaryDirectory } from '../fixtures/temporary-directory.js'

t.test('a directory of an NFS server', async t => {
  const data = temporaryDirectory(t)
  fs.writeFileSync(path.join(data, 'file'), 'on the server\n')
  const port = await startNfsServer(t, data)
  const board = await startBoard(t, await boardImage(t, await findKernel()), {
    append: 'loglevel=7 ip=dhcp modules_load=virtio_pci,virtio_net,fuse,nfsv4',
  })
  t.ok(await board.says(/cpud: eth0 has/))
  const example = fs.readFileSync(path.join(packageRoot(), 'fstab.examples/nfs.fstab'), 'utf8')
  const fstab = path.join(temporaryDirectory(t), 'fstab')
  fs.writeFileSync(fstab, example.replace('vers=4.2', `vers=4.2,port=${port}`))
  const script = 'cat /data/file; echo from there > /data/new; grep " /data " /proc/mounts | cut -d" " -f1-3'
  const { stdout, stderr, code } = await cpu(board, ['sh', '-c', script], { flags: ['-fstab', fstab] })
  t.same([stdout.toString(), stderr, code], ['on the server\n10.0.2.2:/srv/data /data nfs4\n', '', 0])
  t.equal(fs.readFileSync(path.join(data, 'new'), 'utf8'), 'from there\n')
})
