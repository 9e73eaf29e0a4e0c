import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { Unavailable } from '#errors.ts'
import { temporaryDirectory } from '#test/sample-login.ts'
import { awsConfigFiles, dropAwsProfiles, writeAwsProfiles } from './aws-config.ts'
import { ForeignAwsSection, type ManagedProfile, removeAwsProfiles, setAwsProfiles } from './aws-config-text.ts'

const MARK = '; Do not edit. Section managed by Teleport. Generated for accessing '
const profile = (name: string, secret = 's', app = name): ManagedProfile => ({
  name,
  app,
  settings: [
    ['aws_access_key_id', `PLACEHOLDER${name}`],
    ['aws_secret_access_key', secret],
  ],
})
const sectionOf = (name: string, secret = 's', app = name): string =>
  `${MARK}${app}\n[profile ${name}]\naws_access_key_id = PLACEHOLDER${name}\naws_secret_access_key = ${secret}\n`
const mine = `# mine
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20
  addressing_style = path

[sso-session a]
sso_region=us-east-1
[profile own]
role_arn = arn:aws:iam::123456789012:role/Reader
; a last word
`

suite('our profiles in the text of an AWS config file', () => {
  test('stand at its end, and the rest stays', () => {
    assert.equal(setAwsProfiles('', [profile('a')], 'f'), sectionOf('a'))
    assert.equal(
      setAwsProfiles(mine, [profile('a'), profile('b')], 'f'),
      `${mine}\n${sectionOf('a')}\n${sectionOf('b')}`,
    )
  })
  test('are changed where they stand', () => {
    const before = `${sectionOf('a')}\n${mine}\n${sectionOf('b')}`
    assert.equal(
      setAwsProfiles(before, [profile('a', 'new')], 'f'),
      `${sectionOf('a', 'new')}\n${mine}\n${sectionOf('b')}`,
    )
    assert.equal(setAwsProfiles(before, [profile('a'), profile('b')], 'f'), before)
  })
  for (const [says, before, message] of [
    ['a section of the user', '[profile a]\nregion = x\n', 'f: section "profile a" is not managed by teleport'],
    ['one in quotes', '[profile "a"]\n', 'f: section "profile a" is not managed by teleport'],
    ['one with another comment', `; mine\n${'[profile a]\n'}`, 'f: section "profile a" is not managed by teleport'],
    ['one of another app', sectionOf('a', 's', 'b'), 'f: section "profile a" is not managed by teleport'],
    ['two of the name', `${sectionOf('a')}[profile a]\n`, 'f: section "profile a" is not managed by teleport'],
    ['further keys', `${sectionOf('a')}region = x\n`, 'f: section "profile a" contains other keys'],
    ['nested values', `${sectionOf('a')}  x = y\n`, 'f: section "profile a" contains other keys'],
  ] as const) {
    test(`are refused where there is ${says}`, () => {
      assert.throws(
        () => setAwsProfiles(before, [profile('new'), profile('a')], 'f'),
        (error) => {
          assert.ok(error instanceof ForeignAwsSection)
          assert.equal(error.message, `${message}, remove the section and try again`)
          return true
        },
      )
    })
  }
  test('are removed for one app or for all, but not with what others wrote into them', () => {
    const text = `${mine}\n${sectionOf('a')}\n${sectionOf('a-Reader', 's', 'a')}\n${sectionOf('b')}\n${sectionOf('c')}region = x\n`
    assert.deepEqual(removeAwsProfiles(text, 'a'), {
      text: `${mine}\n${sectionOf('b')}\n${sectionOf('c')}region = x\n`,
      removed: ['profile a', 'profile a-Reader'],
      kept: [],
    })
    assert.deepEqual(removeAwsProfiles(text), {
      text: `${mine}\n${sectionOf('c')}region = x\n`,
      removed: ['profile a', 'profile a-Reader', 'profile b'],
      kept: ['profile c'],
    })
  })
  test('come and go without a trace, whatever stands around them', () => {
    const line = fc.constantFrom('', ' ', '#c', ';c', 'k = v', '  n = v', '[profile own]', '[x', 'é\u0000', 'a]b')
    const around = fc.tuple(fc.array(line), fc.constantFrom('\n', '\r\n'))
    fc.assert(
      fc.property(around, ([lines, eol]) => {
        const text = lines.map((each) => each + eol).join('')
        const set = setAwsProfiles(text, [profile('a'), profile('b')], 'f')
        assert.equal(removeAwsProfiles(set).text, text)
        assert.equal(setAwsProfiles(set, [profile('b'), profile('a')], 'f'), set)
        assert.ok(!/\r\n/.test(text) || !/[^\r]\n/.test(set))
      }),
    )
  })
  test('never throw anything but a refusal, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        removeAwsProfiles(text)
        try {
          setAwsProfiles(text, [profile('a')], 'f')
        } catch (error) {
          assert.ok(error instanceof ForeignAwsSection)
        }
      }),
    )
  })
})

suite('the AWS config file', () => {
  test('is found as the AWS SDKs find it', () => {
    assert.deepEqual(awsConfigFiles({}, '/home/a'), {
      config: '/home/a/.aws/config',
      credentials: '/home/a/.aws/credentials',
    })
    const env = { AWS_CONFIG_FILE: '~/c', AWS_SHARED_CREDENTIALS_FILE: '/k' }
    assert.deepEqual(awsConfigFiles(env, '/home/a'), { config: '/home/a/c', credentials: '/k' })
  })
  test('is made with its directory, and nothing is left beside it', async () => {
    await using home = await temporaryDirectory()
    const files = awsConfigFiles({}, home.path)
    assert.deepEqual(await dropAwsProfiles(files), { removed: [], kept: [] })
    await writeAwsProfiles(files, [profile('a')])
    assert.equal(await readFile(files.config, 'utf8'), sectionOf('a'))
    assert.deepEqual(await readdir(dirname(files.config)), ['config'])
    assert.equal((await stat(files.config)).mode & 0o777, 0o600)
  })
  test('keeps its mode, its symbolic link and bytes that are no UTF-8', async () => {
    await using home = await temporaryDirectory()
    const files = awsConfigFiles({}, home.path)
    await mkdir(dirname(files.config))
    await mkdir(join(home.path, 'dotfiles'))
    const real = join(home.path, 'dotfiles', 'aws')
    const before = Buffer.concat([Buffer.from(mine), Buffer.from([0x23, 0xff, 0xc3, 0x0a])])
    await writeFile(real, before)
    await chmod(real, 0o640)
    await symlink('../dotfiles/aws', files.config)
    await writeAwsProfiles(files, [profile('a')])
    assert.ok((await lstat(files.config)).isSymbolicLink())
    assert.equal((await stat(real)).mode & 0o777, 0o640)
    assert.deepEqual(await readFile(real), Buffer.concat([before, Buffer.from(`\n${sectionOf('a')}`)]))
    assert.deepEqual(await dropAwsProfiles(files), { removed: ['profile a'], kept: [] })
    assert.deepEqual(await readFile(real), before)
  })
  test('is written through a symbolic link that leads to no file yet', async () => {
    await using home = await temporaryDirectory()
    const files = awsConfigFiles({}, home.path)
    await mkdir(dirname(files.config))
    await symlink('../real', files.config)
    await writeAwsProfiles(files, [profile('a')])
    assert.equal(await readFile(join(home.path, 'real'), 'utf8'), sectionOf('a'))
  })
  test('is not written when a name is taken in the credentials file', async () => {
    await using home = await temporaryDirectory()
    const files = awsConfigFiles({}, home.path)
    await mkdir(dirname(files.config))
    await writeFile(files.credentials, '[default]\n[a]\naws_access_key_id = AKIA\n')
    await assert.rejects(writeAwsProfiles(files, [profile('b'), profile('a')]), (error) => {
      assert.ok(error instanceof ForeignAwsSection)
      assert.match(
        error.message,
        /credentials: section "a" is not managed by teleport, remove the section and try again$/,
      )
      return true
    })
    assert.deepEqual(await readdir(dirname(files.config)), ['credentials'])
  })
  test('loses nothing when many write at once', async () => {
    await using home = await temporaryDirectory()
    const files = awsConfigFiles({}, home.path)
    const names = Array.from({ length: 12 }, (_, index) => `app-${index}`)
    await Promise.all(names.map((name) => writeAwsProfiles(files, [profile(name)])))
    const { removed } = await dropAwsProfiles(files)
    assert.deepEqual(removed.toSorted(), names.map((name) => `profile ${name}`).toSorted())
    assert.equal(await readFile(files.config, 'utf8'), '')
  })
  test('that cannot be written is an error that says what to do', async () => {
    await using home = await temporaryDirectory()
    await writeFile(join(home.path, '.aws'), 'a file')
    await assert.rejects(writeAwsProfiles(awsConfigFiles({}, home.path), [profile('a')]), Unavailable)
  })
})
