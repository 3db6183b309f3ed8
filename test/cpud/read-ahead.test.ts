import t from 'tap'
import { mountedDevice } from '../../src/cpud/read-ahead.js'

t.test('the device of the last mount there', async t => {
  const mountinfo = [
    '21 1 254:0 / / rw,relatime - ext4 /dev/root rw',
    '30 21 0:41 / /tmp/cpu rw,nosuid,nodev,relatime - fuse cpu rw,user_id=0,group_id=0',
    '31 21 0:41 /usr /usr rw,nosuid,nodev,relatime - fuse cpu rw,user_id=0,group_id=0',
    '32 30 0:42 / /tmp/cpu rw - tmpfs tmpfs rw',
    '',
  ].join('\n')
  t.equal(mountedDevice(mountinfo, '/tmp/cpu'), '0:42')
  t.equal(mountedDevice(mountinfo, '/usr'), '0:41')
  t.equal(mountedDevice(mountinfo, '/tmp'), undefined)
})
