/** The clusters file, or the folder of files, on disk: read within limits, written whole or not at all. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { reason } from '../pki/pem.ts'
import { TunnelError } from '../platform/errors.ts'
import { type FileText, readTexts, type TextSource } from '../platform/watched.ts'
import type { Cluster } from './cluster.ts'
import { withDocument, withoutDocument } from './edit.ts'
import { MAX_CLUSTERS_BYTES, readClusters } from './read.ts'
import type { ClusterDocument } from './schema.ts'

const FILE_MODE = 0o644

/**
 * @param passedOver told which files of a folder are not read, though they look as if they should be
 * @throws TunnelError `bad-option` with every mistake, one per line
 */
export function loadClusters(path: string, passedOver?: TextSource['passedOver']): readonly Cluster[] {
  return checked(textsOf(path, passedOver))
}

/** @returns the file that has it now. @throws TunnelError `bad-option`; nothing is written then */
export function addCluster(path: string, document: ClusterDocument): string {
  const exists = existsSync(path)
  if (!exists && path.endsWith('/'))
    throw new TunnelError('bad-option', `${path}: there is no such folder: make it first`)
  const files = exists ? textsOf(path) : []
  const file = exists && statSync(path).isDirectory() ? join(path, `${document.id}.yaml`) : path
  const before = files.find((each) => each.path === file)?.text ?? ''
  const changed = { path: file, text: withDocument(before, document) }
  checked([...files.filter((each) => each.path !== file), changed])
  writeWhole(changed)
  return file
}

/** A file of a folder that has no other one is removed. @returns the file that had it. @throws TunnelError `bad-option` */
export function removeCluster(path: string, id: string): string {
  const files = textsOf(path)
  checked(files)
  for (const { path: file, text } of files) {
    const left = withoutDocument(text, id)
    if (left === undefined) continue
    if (left.documents === 0 && file !== path) rmSync(file)
    else writeWhole({ path: file, text: left.text })
    return file
  }
  throw new TunnelError('bad-option', `${path}: there is no cluster ${id}`)
}

function textsOf(path: string, passedOver?: TextSource['passedOver']): readonly FileText[] {
  const read = readTexts({ flag: '--clusters', path, maxBytes: MAX_CLUSTERS_BYTES, ...(passedOver && { passedOver }) })
  if (!read.ok) throw new TunnelError('bad-option', read.problems.join('\n'))
  return read.value
}

function checked(files: readonly FileText[]): readonly Cluster[] {
  const read = readClusters(files)
  if (!read.ok) throw new TunnelError('bad-option', read.problems.join('\n'))
  return read.value
}

/** A server that looks at it sees the text before or after. A link stays one. */
function writeWhole({ path, text }: FileText): void {
  const there = existsSync(path)
  const file = there ? realpathSync(path) : path
  const before = there ? statSync(file) : undefined
  const beside = `${file}.${randomBytes(6).toString('hex')}.new`
  try {
    const descriptor = openSync(beside, 'wx', before ? before.mode & 0o777 : FILE_MODE)
    try {
      if (before && isRoot()) fchownSync(descriptor, before.uid, before.gid) // or the server could not read it
      writeFileSync(descriptor, text) // all of it, or an error
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(beside, file)
  } catch (cause) {
    if (existsSync(beside)) rmSync(beside)
    throw new TunnelError('bad-option', `${path}: cannot be written: ${whyNot(path, cause)}`, { cause })
  }
}

const isRoot = (): boolean => process.getuid?.() === 0

/** The system names the file beside it, which nobody knows of. */
const whyNot = (path: string, cause: unknown): string =>
  existsSync(dirname(path)) ? reason(cause) : `there is no folder ${dirname(path)}`
