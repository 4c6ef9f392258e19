import { once } from 'node:events'
import { existsSync } from 'node:fs'
import t, { type Test } from 'tap'
import { startProgram } from '../../demo/program.ts'
import { createScene, type Scene } from '../../demo/scene.ts'
import { makeCertificates } from '../../demo/steps/certificates.ts'
import { startServer } from '../../demo/steps/programs.ts'

function scene(t: Test): Scene & Disposable {
  const made = createScene(new AbortController(), new Map())
  t.teardown(() => made[Symbol.dispose]())
  return made
}

t.test('fails with what the program said when it does not come to listen', async (t) => {
  const here = scene(t)
  await t.rejects(startProgram(here, 'proxy-agent', ['--ca-cert=missing', '--colour']), {
    message: 'proxy-agent ended with 1',
  })
  t.match(here.said.get('proxy-agent'), /unknown flag: --colour\n.*error checking agent CA cert missing/)
})

t.test('ends the scene with a program that ends unasked, and not with one that was stopped', async (t) => {
  const here = scene(t)
  const certificates = await makeCertificates(here.folder)
  const server = await startServer(here, certificates)
  await server[Symbol.asyncDispose]()
  t.throws(() => process.kill(server.pid, 0), 'it is gone')
  t.equal(here.life.aborted, false)

  const next = await startServer(here, certificates)
  process.kill(next.pid, 'SIGKILL')
  await once(here.life, 'abort')
  t.match(here.life.reason, { message: 'proxy-server ended with SIGKILL' })
})

t.test('does not start what the end of the scene has overtaken', async (t) => {
  const here = scene(t)
  here.end('SIGINT')
  const started = startProgram(here, 'proxy-server', [])
  await started.then(
    () => t.fail('expected no program'),
    (reason) => t.equal(reason, 'SIGINT'),
  )
})

t.test("a scene's folder is gone once it is disposed of", async (t) => {
  const here = scene(t)
  t.ok(existsSync(here.folder))
  here[Symbol.dispose]()
  t.notOk(existsSync(here.folder))
})
