import { Buffer } from 'node:buffer'
import t from 'tap'
import { createPacketCount, type Packet } from '../../src/tunnel/packet.ts'
import { decodePacket, encodePacket, packetBytes } from '../../src/tunnel/packet-codec.ts'
import {
  encodeByProtobufjs,
  ourName,
  packetMessage,
  payloadNameOf,
  payloadTypeOf,
  root,
  typeNames,
} from './culvert-proto.ts'

const MOST = 2n ** 63n - 1n

/** Every packet and its bytes, written out by hand from the protobuf encoding guide. */
const golden: readonly [Packet, string][] = [
  [
    { type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:80', random: MOST },
    `121c${'0a03746370'}${'120b31302e302e302e313a3830'}${'18ffffffffffffffff7f'}`,
  ],
  [{ type: 'DIAL_RSP', error: '', connectId: 1, random: MOST }, '08011a0c100118ffffffffffffffff7f'],
  [{ type: 'DIAL_RSP', error: 'refused', connectId: 0, random: 5 }, '08011a0b0a07726566757365641805'],
  [{ type: 'CLOSE_REQ', connectId: 300, reason: '' }, '08022a0308ac02'],
  [{ type: 'CLOSE_REQ', connectId: 300, reason: 'eof' }, '08022a0908ac02820403656f66'],
  [{ type: 'CLOSE_RSP', error: 'no', connectId: 300 }, '080332070a026e6f10ac02'],
  [{ type: 'DATA', connectId: 2, error: '', data: Buffer.from('hello') }, '0804220908021a0568656c6c6f'],
  [{ type: 'DIAL_CLS', random: -1 }, '08053a0b08ffffffffffffffffff01'],
  [{ type: 'DRAIN' }, '08064200'],
  [{ type: 'WINDOW_UPDATE', connectId: 1, credit: 65_536 }, '0840820406080110808004'],
  [{ type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' }, '08418a04020801'],
  [
    { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1.7e12, health: { agentVersion: '', uptimeMs: 5, openConnections: 0 } },
    '084292041108011080d095ffbc311a060a0010052000',
  ],
  [{ type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 1.7e12 }, '08439a040908011080d095ffbc31'],
  [
    { type: 'GOING_AWAY', reason: 'shutdown', deadlineMs: 25_000, reconnectAfterMs: 500 },
    '0844a204110a0873687574646f776e10a8c30118f403',
  ],
  [
    {
      type: 'SERVERS',
      servers: [
        { id: 'a', address: '', serverName: 'a.b', workers: 2 },
        { id: '', address: 'h:1', serverName: '', workers: 0 },
      ],
    },
    `0845aa0413${'0a0a0a01611a03612e622002'}${'0a051203683a31'}`,
  ],
  [{ type: 'POLICY', version: 'v', rules: 'r' }, '0847ba04060a0176120172'],
  [{ type: 'POLICY_ACK', version: 'v', accepted: 1, reason: 'r' }, '0848c204080a017610011a0172'],
  [{ type: 'BLOCKED', connectId: 1 }, '0849ca04020801'],
  [{ type: 'LANE_OFFER', lane: 2, token: Buffer.from([1, 2]) }, '084ad20406080212020102'],
  [{ type: 'MOVE', connectId: 1, carrier: 2 }, '084bda040408011002'],
  [{ type: 'PING', nonce: 9 }, '084ce204020809'],
  [{ type: 'PONG', nonce: 9 }, '084dea04020809'],
  [{ type: 'LANES_WANTED', count: 4 }, '084ef204020804'],
]

const hex = (text: string): Buffer => Buffer.from(text, 'hex')

/** A packet's payload put into a message of this type: `field` is its tag, two bytes from 16 on. */
const connected = (extra: string): Buffer => hex(`0841${extra}8a04020801`)

t.test('writes and reads the bytes of every packet type', async (t) => {
  for (const [packet, bytes] of golden) {
    t.equal(encodePacket(packet).toString('hex'), bytes, packet.type)
    t.equal(packetBytes(packet), bytes.length / 2)
    t.strictSame(decodePacket(hex(bytes)), packet)
  }
  t.strictSame(new Set(golden.map(([{ type }]) => type)), new Set(typeNames), 'none is left out')
})

t.test('keeps every int64 exact', async (t) => {
  const values = [0, 1, 2 ** 49 - 1, 2 ** 49, 2 ** 53 - 1, 2n ** 53n, 2n ** 53n + 1n, 2n ** 62n + 1n, MOST]
  for (const random of [...values, -1, -(2n ** 63n), -(2n ** 53n), 1 - 2 ** 53]) {
    t.strictSame(decodePacket(encodePacket({ type: 'DIAL_CLS', random })), { type: 'DIAL_CLS', random }, `${random}`)
  }
  t.strictSame(decodePacket(encodePacket({ type: 'DIAL_CLS', random: 7n })), { type: 'DIAL_CLS', random: 7 })
})

t.test('refuses a count that a double does not hold', async (t) => {
  const update = (credit: bigint) => encodePacket({ type: 'WINDOW_UPDATE', connectId: 1, credit: credit as never })
  t.match(decodePacket(update(2n ** 53n - 1n)), { credit: 2 ** 53 - 1 })
  t.throws(() => decodePacket(update(2n ** 53n)), { code: 'bad-frame', message: /9007199254740992 is out of range/ })
  t.throws(() => decodePacket(update(-(2n ** 60n))), { code: 'bad-frame' })
})

t.test('skips unknown fields of every wire type, wherever they stand', async (t) => {
  const unknown = {
    varint: '9806ffffffffffffffffff01',
    'eight bytes': '9906' + '0102030405060708',
    'length-delimited': '9a0603010203',
    group: '9b06' + '08019a060141' + 'a306' + '0802' + 'a406' + '9c06',
    'four bytes': '9d0601020304',
  }
  for (const [name, bytes] of Object.entries(unknown)) {
    const inside = (hex(bytes).length + 2).toString(16).padStart(2, '0')
    const expected = { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' }
    t.strictSame(decodePacket(hex(`${bytes}08418a04020801`)), expected, `${name} before the type`)
    t.strictSame(decodePacket(connected(bytes)), expected, `${name} before the payload`)
    t.strictSame(decodePacket(hex(`08418a04020801${bytes}`)), expected, `${name} at the end`)
    t.strictSame(decodePacket(hex(`08418a04${inside}${bytes}0801`)), expected, `${name} in the payload`)
    t.strictSame(decodePacket(hex(`08418a04${inside}0801${bytes}`)), expected, `${name} at the payload's end`)
  }
})

t.test('skips a known field of the wrong wire type', async (t) => {
  t.strictSame(decodePacket(hex('08418a04050a0141' + '0801')), {
    type: 'END_OF_DATA',
    connectId: 1,
    close: 0,
    reason: '',
  })
  t.strictSame(decodePacket(hex('08418a0407' + '0d01020304' + '0801')), {
    type: 'END_OF_DATA',
    connectId: 1,
    close: 0,
    reason: '',
  })
})

t.test('takes the last of a repeated field, and the payload that belongs to the type', async (t) => {
  t.strictSame(decodePacket(hex('0840' + '0841' + '8a04020802' + '8a04020803')), {
    type: 'END_OF_DATA',
    connectId: 3,
    close: 0,
    reason: '',
  })
  t.strictSame(decodePacket(hex('2202' + '0807' + '0841' + '8a04020802')), {
    type: 'END_OF_DATA',
    connectId: 2,
    close: 0,
    reason: '',
  })
})

t.test('reads a missing payload, type or message as zeros', async (t) => {
  t.strictSame(decodePacket(hex('0841')), { type: 'END_OF_DATA', connectId: 0, close: 0, reason: '' })
  t.strictSame(decodePacket(hex('')), { type: 'DIAL_REQ', protocol: '', address: '', random: 0 })
  t.strictSame(decodePacket(hex('0804')), { type: 'DATA', connectId: 0, error: '', data: Buffer.alloc(0) })
  t.strictSame(decodePacket(hex('0842')), { type: 'HEARTBEAT', seq: 0, sentUnixMs: 0, health: {} })
})

t.test('names the code of a type that it does not know', async (t) => {
  t.strictSame(decodePacket(hex('0807')), { type: 'UNKNOWN', code: 7 })
  t.strictSame(decodePacket(hex('08ffffffffffffffffff01')), { type: 'UNKNOWN', code: -1 })
  t.strictSame(decodePacket(hex('08ffffffff0f')), { type: 'UNKNOWN', code: -1 }, 'an enum is an int32')
  t.strictSame(decodePacket(hex('0846' + '9a0402ffff')), { type: 'UNKNOWN', code: 70 }, 'one of a later version')
  t.throws(() => encodePacket({ type: 'UNKNOWN', code: 7 }), { code: 'bad-frame' })
})

t.test('tells an absent health figure from zero', async (t) => {
  const beat = (health: object): Packet => ({ type: 'HEARTBEAT', seq: 1, sentUnixMs: 2, health })
  for (const health of [{}, { nodes: 0 }, { agentVersion: '' }, { certificateDaysLeft: -3, nodes: 0, readyNodes: 1 }]) {
    t.strictSame(decodePacket(encodePacket(beat(health))), beat(health))
  }
  t.strictSame(decodePacket(encodePacket(beat({ nodes: undefined }))), beat({}))
})

t.test('holds no list of more than a thousand', async (t) => {
  const servers = Array.from({ length: 1_000 }, () => ({ id: '', address: '', serverName: '', workers: 0 }))
  const longest: Packet = { type: 'SERVERS', servers }
  t.strictSame(decodePacket(encodePacket(longest)), longest)
  const longer: Packet = { type: 'SERVERS', servers: [...servers, ...servers.slice(0, 1)] }
  t.throws(() => decodePacket(encodePacket(longer)), { code: 'bad-frame', message: /a list of more than 1000/ })
})

t.test('reads and writes each field of a listed server by number and kind', async (t) => {
  for (const server of [
    { id: 'text', address: '', serverName: '', workers: 0 },
    { id: '', address: 'text', serverName: '', workers: 0 },
    { id: '', address: '', serverName: 'text', workers: 0 },
    { id: '', address: '', serverName: '', workers: 77 },
  ]) {
    const packet: Packet = { type: 'SERVERS', servers: [server] }
    t.strictSame(decodePacket(encodeByProtobufjs(packet)), packet)
    t.strictSame(encodePacket(packet), encodeByProtobufjs(packet))
  }
  t.equal(root.lookupType('ListedServer').fieldsArray.length, 4, 'none is left out')
})

t.test('keeps text whatever is in it, and makes U+FFFD of what is not UTF-8', async (t) => {
  for (const error of ['ü→𝄞', 'a\0b', 'x'.repeat(70_000)]) {
    const packet: Packet = { type: 'CLOSE_RSP', error, connectId: 1 }
    t.strictSame(decodePacket(encodePacket(packet)), packet)
  }
  t.match(decodePacket(hex('080332040a02c3281001'.replace('3204', '3206'))), { error: '\ufffd(' })
})

t.test('refuses what is not protobuf', async (t) => {
  const wrong = {
    '00': 'tag of field 0',
    '07': 'wire type 7 of field 0',
    '0e': 'wire type 6',
    '0c': 'the end of a group that did not begin',
    '08': 'a tag alone',
    '0880': 'a varint that does not end',
    '08ffffffffffffffffffff01': 'a varint of eleven bytes',
    ffffffffff0101: 'a tag beyond 32 bits',
    '1205': 'a payload that is not there',
    '12ffffffff0f00': 'a length far beyond the message',
    '12ffffffffffffffffff01': 'a length of 2^64-1',
    '08418a040208': 'a payload that is cut',
    '08418a040208801001': 'a varint that ends beyond its payload',
    '080332040a056e6f9a060401020304': 'a text that ends beyond its payload',
    '990601020304050607': 'seven of eight bytes',
    '9d06010203': 'three of four bytes',
    '9b060801': 'a group that does not end',
    '9b060801a406': 'a group that ends as another',
  }
  for (const [bytes, why] of Object.entries(wrong)) {
    t.throws(() => decodePacket(hex(bytes)), { name: 'TunnelError', code: 'bad-frame' }, why)
  }
})

t.test('skips groups down to sixteen levels and no deeper', async (t) => {
  const nested = (depth: number): Buffer => hex(`${'9b06'.repeat(depth)}${'9c06'.repeat(depth)}08418a04020801`)
  t.match(decodePacket(nested(16)), { type: 'END_OF_DATA' })
  t.throws(() => decodePacket(nested(17)), { code: 'bad-frame', message: /deeper than 16/ })
  t.throws(() => decodePacket(hex('9b06'.repeat(1_000_000))), { code: 'bad-frame' })
})

t.test('reads each packet cut at any byte as a shorter one, or refuses it as bad-frame', async (t) => {
  for (const [, bytes] of golden) {
    for (let cut = 0; cut < bytes.length / 2; cut++) {
      try {
        t.type(decodePacket(hex(bytes).subarray(0, cut)).type, 'string')
      } catch (error) {
        t.match(error, { name: 'TunnelError', code: 'bad-frame' })
      }
    }
  }
})

t.test('gives bytes as a view of the message, not a copy', async (t) => {
  const message = hex('0804220908021a0568656c6c6f')
  const packet = decodePacket(message)
  message[8] = 0x4a
  t.match(packet, { data: Buffer.from('Jello') })
})

t.test('reads a message that stands anywhere in a larger buffer', async (t) => {
  const bytes = encodePacket({ type: 'CLOSE_RSP', error: 'no', connectId: 300 })
  const around = Buffer.concat([Buffer.alloc(13, 0xff), bytes, Buffer.alloc(7, 0xff)])
  t.match(decodePacket(around.subarray(13, 13 + bytes.length)), { error: 'no', connectId: 300 })
})

t.test('knows the packets of culvert.proto, all of them and no others', async (t) => {
  const known = Object.keys(createPacketCount().sent)
  t.strictSame(new Set(known), new Set([...typeNames, 'UNKNOWN']))
  const payloads = typeNames.map(payloadNameOf)
  t.strictSame(new Set(payloads), new Set(packetMessage.oneofs.payload?.oneof), 'each type has one payload')
  for (const [name, code] of Object.entries(root.lookupEnum('PacketType').values)) {
    t.equal(decodePacket(packetMessage.encode({ type: code }).finish()).type, name)
  }
})

t.test('knows the fields of culvert.proto by number and kind, all of them and no others', async (t) => {
  const sample = { string: 'text', bytes: Buffer.from([1]), int64: 77 }
  for (const type of typeNames) {
    const { fieldsArray } = payloadTypeOf(type)
    const empty = decodePacket(encodeByProtobufjs({ type } as Packet))
    t.strictSame(new Set(Object.keys(empty)), new Set(['type', ...fieldsArray.map(({ name }) => ourName(name))]), type)
    for (const { name, type: kind } of fieldsArray.filter((field) => field.type in sample)) {
      const packet = { ...empty, [ourName(name)]: sample[kind as keyof typeof sample] } as Packet
      t.strictSame(decodePacket(encodeByProtobufjs(packet)), packet, `reads ${type}.${name}`)
      t.strictSame(encodePacket(packet), encodeByProtobufjs(packet), `writes ${type}.${name}`)
    }
  }
  for (const { name, type: kind } of root.lookupType('Health').fieldsArray) {
    const health = { [name]: sample[kind as keyof typeof sample] }
    const packet: Packet = { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health }
    t.strictSame(decodePacket(encodeByProtobufjs(packet)), packet, `reads Health.${name}`)
    t.strictSame(encodePacket(packet), encodeByProtobufjs(packet), `writes Health.${name}`)
  }
})

t.test('has the facts of konnectivity in culvert.proto', async (t) => {
  const { values } = root.lookupEnum('PacketType')
  const facts = { DIAL_REQ: 0, DIAL_RSP: 1, CLOSE_REQ: 2, CLOSE_RSP: 3, DATA: 4, DIAL_CLS: 5, DRAIN: 6 }
  t.strictSame(Object.fromEntries(Object.entries(values).filter(([, code]) => code < 64)), facts)
  const messages = {
    Packet:
      'PacketType type=1; DialRequest dialRequest=2; DialResponse dialResponse=3; Data data=4; CloseRequest closeRequest=5; CloseResponse closeResponse=6; CloseDial closeDial=7; Drain drain=8',
    DialRequest: 'string protocol=1; string address=2; int64 random=3',
    DialResponse: 'string error=1; int64 connectID=2; int64 random=3',
    CloseRequest: 'int64 connectID=1',
    CloseResponse: 'string error=1; int64 connectID=2',
    CloseDial: 'int64 random=1',
    Drain: '',
    Data: 'int64 connectID=1; string error=2; bytes data=3',
  }
  for (const [name, fields] of Object.entries(messages)) {
    const theirs = root.lookupType(name).fieldsArray.filter(({ id }) => id < 64)
    t.equal(theirs.map((field) => `${field.type} ${field.name}=${field.id}`).join('; '), fields, name)
  }
  t.equal(
    packetMessage.fullName,
    '.Packet',
    'no proto package: the paths are /AgentService/Connect and /ProxyService/Proxy',
  )
})
