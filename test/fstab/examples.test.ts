import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { compileFstab } from '../../src/fstab/compile.js'
import { parseFstab } from '../../src/fstab/parse.js'
import { formatPlan } from '../../src/namespace/format-plan.js'

// seen from dist/test/fstab
const directory = new URL('../../../fstab.examples/', import.meta.url)

const plans: Readonly<Record<string, string>> = {
  'virtiofs.fstab': `
mkdir -p -m 0755 /mnt
mount -t virtiofs myfs /mnt
`,
  'home-only.fstab': `
mkdir -p -m 0755 /home
mount --bind /tmp/cpu/home /home
`,
  'tmpfs-scratch.fstab': `
mkdir -p -m 0755 /scratch
mount -t tmpfs -o nosuid,nodev,size=512m,mode=1777 tmpfs /scratch
`,
  'overlay-on-virtiofs.fstab': `
mkdir -p -m 0755 /tmp/lower
mount -t virtiofs -o ro myfs /tmp/lower
mkdir -p -m 0755 /mnt
mount -t overlay -o lowerdir=/tmp/lower,upperdir=/tmp/root,workdir=/tmp/merge overlay /mnt
`,
  'chroot-foreign-root.fstab': `
mkdir -p -m 0755 /tmp/root
mount --bind /tmp/cpu/srv/debian /tmp/root
mkdir -p -m 0755 /tmp/root/proc
mount -t proc -o nosuid,nodev,noexec proc /tmp/root/proc
mkdir -p -m 0755 /tmp/root/sys
mount --rbind /sys /tmp/root/sys
mount --make-rslave /tmp/root/sys
mkdir -p -m 0755 /tmp/root/dev
mount --rbind /dev /tmp/root/dev
mount --make-rslave /tmp/root/dev
mkdir -p -m 0755 /tmp/root/tmp
mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /tmp/root/tmp
`,
  'disk.fstab': `
mkdir -p -m 0755 /data
mount -t auto LABEL=data /data
`,
  'nfs.fstab': `
mkdir -p -m 0755 /data
mount -t nfs -o nosuid,nodev,vers=4.2,addr=10.0.2.2,proto=tcp,soft,timeo=50 10.0.2.2:/srv/data /data
`,
}

t.test('there is a plan here for every example', async t => {
  t.same(readdirSync(directory).sort(), Object.keys(plans).sort())
})

for (const [name, plan] of Object.entries(plans))
  t.test(name, async t => {
    const { entries, problems } = parseFstab(readFileSync(new URL(name, directory), 'utf8'))
    const compiled = compileFstab(entries)
    t.same([...problems, ...compiled.problems], [])
    t.equal(`\n${formatPlan(compiled.steps).replaceAll(/ {2}# .*$/gm, '')}`, plan)
  })
