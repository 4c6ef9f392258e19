/** Clones of commits for `bench compare`, from a repository that the test makes. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cloneOf, revision } from '../../bench/peers/revision.ts'

const from = join(t.testdir({ 'package-lock.json': '{}', program: 'first', node_modules: {} }), '.')
const folder = join(t.testdirName, 'clones')
const author = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b' }
const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: from, encoding: 'utf8', env: { ...process.env, ...author } }).trim()

git('init', '--quiet', '--initial-branch=main')
git('add', 'program', 'package-lock.json')
git('commit', '--quiet', '--message=First')
git('tag', 'v1')
writeFileSync(join(from, 'program'), 'second')
git('commit', '--quiet', '--all', '--message=Second')
writeFileSync(join(from, 'program'), 'not committed')

t.test('gives each commit a folder of its own, with the packages of the checkout', async (t) => {
  const [first, second] = [await cloneOf('v1', from, folder), await cloneOf('main', from, folder)]
  t.equal(readFileSync(join(first, 'program'), 'utf8'), 'first')
  t.equal(readFileSync(join(second, 'program'), 'utf8'), 'second')
  t.equal(readlinkSync(join(first, 'node_modules')), join(from, 'node_modules'))
  t.equal(readFileSync(join(from, 'program'), 'utf8'), 'not committed', 'and leaves the checkout alone')
  t.equal(git('worktree', 'list').split('\n').length, 1)
})

t.test('makes one clone of a commit that has two names', async (t) => {
  t.equal(await cloneOf('v1', from, folder), await cloneOf('main~1', from, folder))
})

t.test('installs the packages of a commit that had others', async (t) => {
  const manifest = { name: 'other', version: '1.0.0', lockfileVersion: 3, packages: { '': { name: 'other' } } }
  git('stash', '--quiet')
  writeFileSync(join(from, 'package.json'), '{"name":"other","version":"1.0.0"}')
  writeFileSync(join(from, 'package-lock.json'), JSON.stringify(manifest))
  git('add', 'package.json', 'package-lock.json')
  git('commit', '--quiet', '--message=Third')
  git('tag', 'v3')
  git('checkout', '--quiet', 'v1')
  const clone = await cloneOf('v3', from, folder)
  t.ok(existsSync(join(clone, 'package.json')))
  t.throws(() => readlinkSync(join(clone, 'node_modules')), 'it has not those of the checkout')
})

t.test('says which commit there is none of, and takes no flag for one', async (t) => {
  mkdirSync(folder, { recursive: true })
  for (const name of ['v2', '--help', ''])
    await t.rejects(cloneOf(name, from, folder), { message: new RegExp(`no commit "${name}"`) })
})

t.test('starts nothing before it was prepared', async (t) => {
  t.throws(() => revision('v1', from).start({} as never), { message: 'v1 was not prepared' })
})
