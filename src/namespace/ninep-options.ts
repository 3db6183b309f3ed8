// How the user wants the files mounted, as text on the wire: mount options of v9fs, of which cache and msize are looked
// at on the way, since not every kernel can have every value, and ro, which is not one of v9fs alone.

import { CACHE_MODES, type CacheMode, type NinePOptions } from './ninep-mount.js'

/** Empty for what the kernel's release decides. */
export function formatNinePOptions({ cache, msize, readOnly, extra }: NinePOptions): string {
  const words = [
    readOnly === true ? 'ro' : '',
    cache === undefined ? '' : `cache=${cache}`,
    msize === undefined ? '' : `msize=${msize}`,
    extra ?? '',
  ]
  return words.filter(word => word !== '').join(',')
}

/** The reverse, also of what a user wrote by hand: the last `cache=` and `msize=` count, the rest is `extra`. */
export function parseNinePOptions(text: string): NinePOptions {
  let cache: CacheMode | undefined
  let msize: number | undefined
  let readOnly = false
  const others: string[] = []
  for (const word of text.split(',').filter(word => word !== '')) {
    const [, name, value = ''] = /^(cache|msize)=(.*)$/s.exec(word) ?? []
    const mode = CACHE_MODES.find(mode => mode === value)
    if (name === 'cache' && mode !== undefined) cache = mode
    else if (name === 'msize' && /^\d{1,9}$/.test(value)) msize = Number(value)
    else if (word === 'ro') readOnly = true
    else others.push(word)
  }
  return {
    ...(cache === undefined ? {} : { cache }),
    ...(msize === undefined ? {} : { msize }),
    ...(readOnly ? { readOnly } : {}),
    ...(others.length === 0 ? {} : { extra: others.join(',') }),
  }
}
