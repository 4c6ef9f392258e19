/** TLS files that are watched (watched.ts), so that a renewed certificate needs no restart. */
import { loadTls, type TlsFiles, type TlsMaterial } from './tls-material.ts'
import { type Loaded, type Watch, type WatchOptions, watchLoaded } from './watched.ts'

export type TlsWatch = Watch<TlsMaterial>

/**
 * @param options `intervalMs` between two looks; disposing ends them
 * @throws TunnelError `bad-option` with every mistake, one per line, when the files are broken at the start
 */
export function watchTlsFiles(files: TlsFiles, options: WatchOptions<TlsMaterial>): TlsWatch {
  const look = (): Loaded<TlsMaterial> => {
    const loaded = loadTls(files)
    return loaded.ok ? { ok: true, value: loaded.material } : loaded
  }
  return watchLoaded(look, isSame, options)
}

function isSame(a: TlsMaterial, b: TlsMaterial): boolean {
  return a.cert === b.cert && a.key === b.key && a.ca === b.ca
}
