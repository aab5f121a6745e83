// Sending, over REST and over a socket: contract 3.5, 3.9, Q26, Q29, Q34.

import assert from "node:assert/strict";

import { oneOrder } from "../lib/order.js";
import { unique } from "../lib/person.js";
import { contacts, group, scene } from "../lib/scene.js";
import { RATE_LIMITS } from "../lib/servers.js";
import { paced, PATIENCE, quiet, show, until } from "../lib/until.js";

/** All that a client reads of `message:new`, and all that the contract says to send besides. */
const FIELDS = [
  "attachments", "chatId", "content", "contentType", "createdAt", "deletedAt", "deliveryStatus", "editedAt", "id", "isDeleted",
  "isEdited", "metadata", "reactions", "readCount", "replyTo", "replyToId", "sender", "senderId", "seq",
];

scene("a message sent by REST reaches every socket of everybody once, on both replicas", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben]);
  const other = await ann.device(1);
  const ears = [...(await ben.listenOnBoth()), ...(await ann.listenOnBoth()), ...(await other.listenOnBoth())];
  const stranger = await eve.listen();
  const said = [await ann.say(chat.id, "first", { replica: 0 }), await ann.say(chat.id, "second", { replica: 1 })];
  await oneOrder(ears, chat.id, said.map((one) => one.id), PATIENCE);
  for (const ear of ears) {
    const [heard] = ear.messages(chat.id);
    for (const field of FIELDS) assert.ok(field in heard, `message:new should carry ${field}; it was ${show(heard)}`);
    assert.equal(heard.senderId, ann.id);
    assert.equal(heard.sender.username, ann.username);
    assert.equal(heard.deliveryStatus, "sent");
    assert.deepEqual(heard.reactions, []);
    assert.equal(heard.isEdited, false);
    assert.equal("message" in heard, false, "message:new is flat");
  }
  await quiet();
  stranger.heardNo("message:new", undefined, "as a stranger");
});

scene("the answer is bare and wrapped, and equals what everybody is told", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const ear = await ben.listen({ replica: 1 });
  const { message, ...bare } = await ann.say(chat.id, "one and the same", { metadata: { a: [1, { b: null }] } });
  assert.deepEqual(bare, message, "the answer should be the message, and the message under its key");
  assert.deepEqual(await ear.hears("message:new", (one) => one.id === bare.id), bare);
});

scene("sockets of the sender's own login hear of it only after the answer", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const mine = await ann.listenOnBoth();
  const others = [await ben.listen({ replica: 1 }), await (await ann.device(1)).listen({ replica: 0 })];
  const answers = await paced(7, Array.from({ length: 50 }, (_, index) => `number ${index}`), (content, index) => {
    const body = { content, contentType: "text", metadata: {} };
    return ann.rest("POST", `/chats/${chat.id}/messages`, body, { expect: 201, replica: index });
  });
  await oneOrder([...mine, ...others], chat.id, answers.map((answer) => answer.body.id), PATIENCE);
  for (const ear of mine) {
    const early = answers
      .map(({ body, answeredAt }) => {
        const [echo] = ear.heardAt("message:new", (one) => one.id === body.id);
        return { content: body.content, ms: answeredAt - echo.at };
      })
      .filter(({ ms }) => ms > 0);
    assert.deepEqual(
      early,
      [],
      `${ear.label} should hear of its own login's message after the REST answer; ${early.length} of 50 came earlier`,
    );
    const slow = answers.filter(({ body, answeredAt }) => {
      const [echo] = ear.heardAt("message:new", (one) => one.id === body.id);
      return echo.at - answeredAt > 2_000;
    });
    assert.equal(slow.length, 0, `${ear.label} should hear of it soon after the answer; ${slow.length} took more than 2 s`);
  }
});

scene("what others say meanwhile keeps its place while one's own answer is on its way", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const ears = [...(await ann.listenOnBoth()), ...(await ben.listenOnBoth())];
  const numbers = Array.from({ length: 30 }, (_, index) => index);
  const [byAnn, byBen] = await Promise.all([
    paced(8, numbers, (number) => ann.say(chat.id, `ann ${number}`, { replica: number })),
    paced(8, numbers, (number) => ben.say(chat.id, `ben ${number}`, { replica: number + 1 })),
  ]);
  await oneOrder(ears, chat.id, [...byAnn, ...byBen].map((one) => one.id), PATIENCE);
});

scene("a message sent by socket reaches all sockets, the sending one too, and then is confirmed", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const [speaker, second] = await ann.listenOnBoth();
  const listeners = [second, ...(await ben.listenOnBoth())];
  speaker.emit("message:send", { chatId: chat.id, content: "without an ack" });
  const confirmed = await speaker.hears("message:sent");
  assert.equal(confirmed.chatId, chat.id);
  assert.ok(!Number.isNaN(Date.parse(confirmed.timestamp)), `message:sent should carry a time, not ${confirmed.timestamp}`);
  for (const ear of [speaker, ...listeners]) await ear.hearsAll(1, "message:new", (one) => one.id === confirmed.messageId);
  const names = speaker.everything.map((event) => event.name).filter((name) => name === "message:new" || name === "message:sent");
  assert.deepEqual(names, ["message:new", "message:sent"], "the sending socket hears the message, then its confirmation");
  await quiet();
  for (const ear of listeners) ear.heardNo("message:sent", undefined, "as it did not send");
});

scene("an ack says which message it became", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const speaker = await ann.listen({ replica: 0 });
  const listener = await ben.listen({ replica: 1 });
  const ack = await speaker.ask("message:send", { chatId: chat.id, content: "with an ack" });
  assert.equal(ack.success, true, show(ack));
  assert.equal(ack.chatId, chat.id);
  assert.equal(ack.messageId, ack.message.id);
  assert.ok(!Number.isNaN(Date.parse(ack.timestamp)), `the ack should carry a time, not ${ack.timestamp}`);
  assert.deepEqual(await listener.hears("message:new"), ack.message, "everybody hears what was acknowledged");
});

scene("metadata comes back untouched", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const speaker = await ann.listen({ replica: 0 });
  const listener = await ben.listen({ replica: 1 });
  const metadata = {
    sentAt: Date.now(),
    zebra: { b: [1, 2.5, -0.000001, 1e21, { deep: { deeper: [null, true, ""] } }], a: "first comes last" },
    "": "no name",
    "名前": "<b>not content</b> & \"quotes\" \\ \u2028 👩‍👩‍👧",
    big: 9007199254740991,
    apple: [],
    empty: {},
  };
  const text = JSON.stringify(metadata);
  const ack = await speaker.ask("message:send", { chatId: chat.id, content: "by socket", metadata });
  const answer = await ann.say(chat.id, "by REST", { metadata });
  const wanted = [ack.messageId, answer.id];
  for (const id of wanted) {
    const heard = await listener.hears("message:new", (one) => one.id === id);
    assert.equal(JSON.stringify(heard.metadata), text, "the same keys, in the same order, with the same values");
    assert.equal(typeof heard.metadata.sentAt, "number");
  }
  for (const message of (await ben.history(chat.id)).filter((one) => wanted.includes(one.id))) {
    assert.equal(JSON.stringify(message.metadata), text, "also when it is read again");
  }
});

scene("what cannot be sent is answered by message:error, and by the ack", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben]);
  const direct = await contacts(ann, ben);
  const listener = await ben.listen({ replica: 1 });
  const [speaker, intruder] = [await ann.listen({ replica: 0 }), await eve.listen({ replica: 0 })];
  const nowhere = "00000000-0000-7000-8000-000000000000";
  const foreign = await ann.say(direct, "in another chat");
  const cases = [
    [intruder, { chatId: chat.id, content: "from outside" }, "NOT_FOUND"],
    [intruder, { chatId: direct, content: "from outside" }, "NOT_FOUND"],
    [speaker, { chatId: nowhere, content: "to nowhere" }, "NOT_FOUND"],
    [speaker, { chatId: chat.id, content: "" }, "VALIDATION_ERROR"],
    [speaker, { chatId: chat.id, content: "   \n " }, "VALIDATION_ERROR"],
    [speaker, { chatId: chat.id, content: "x".repeat(10_001) }, "VALIDATION_ERROR"],
    [speaker, { chatId: chat.id, content: "as the system", contentType: "system" }, "VALIDATION_ERROR"],
    [speaker, { chatId: chat.id, content: "to a foreign message", replyToId: foreign.id }, "VALIDATION_ERROR"],
  ];
  for (const [ear, payload, code] of cases) {
    const before = ear.heard("message:error").length;
    const ack = await ear.ask("message:send", payload);
    assert.equal(ack.success, false, `${show(payload, 100)} should have been refused`);
    assert.equal(ack.code, code, `the code for ${show(payload, 100)}: ${show(ack)}`);
    assert.equal(typeof ack.error, "string");
    await until(() => ear.heard("message:error").length > before, PATIENCE, `message:error for ${show(payload, 100)}`);
    const told = ear.heard("message:error").at(-1);
    assert.deepEqual([told.error, told.chatId, told.code], [ack.error, payload.chatId, code]);
    await quiet(130);
  }
  const exact = await speaker.ask("message:send", { chatId: chat.id, content: `  ${"ü".repeat(10_000)}  ` });
  assert.equal(exact.success, true, `10,000 characters after trimming should pass: ${show(exact)}`);
  await listener.hears("message:new", (one) => one.id === exact.messageId);
  const texts = listener.messages(chat.id).filter((one) => one.contentType !== "system");
  assert.equal(texts.length, 1, `nothing that was refused may be told, but ${show(texts.map((one) => one.content.slice(0, 30)))} was`);
});

scene("a retry with the same key is the first message, by every way and on every replica", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const speakers = await ann.listenOnBoth();
  const listeners = await ben.listenOnBoth();
  const key = `key-${unique()}`;
  const path = `/chats/${chat.id}/messages`;
  const body = { content: "once", contentType: "text", metadata: {}, clientMessageId: key };

  const first = await ann.rest("POST", path, body, { expect: 201, replica: 0 });
  const again = await ann.rest("POST", path, { ...body, content: "not once" }, { expect: 200, replica: 1 });
  assert.equal(again.headers["idempotent-replay"], "true");
  const { clientMessageId, ...unkeyed } = body;
  const byHeader = await ann.rest("POST", path, unkeyed, { expect: 200, headers: { "idempotency-key": key } });
  assert.deepEqual([again.body.id, byHeader.body.id], [first.body.id, first.body.id]);
  assert.equal(again.body.content, "once", "the first message counts, not the retry's text");
  for (const speaker of speakers) {
    const ack = await speaker.ask("message:send", { chatId: chat.id, content: "once", clientMessageId: key });
    assert.deepEqual([ack.success, ack.messageId], [true, first.body.id], show(ack));
  }

  const last = await ann.say(chat.id, "afterwards");
  for (const listener of listeners) {
    await listener.hears("message:new", (one) => one.id === last.id);
    assert.deepEqual(listener.messages(chat.id).map((one) => one.content), ["once", "afterwards"]);
  }
});

scene("concurrent retries on both replicas, over REST and sockets, make one message", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const speakers = await ann.listenOnBoth();
  const listeners = await ben.listenOnBoth();
  for (let round = 0; round < 5; round += 1) {
    const send = { content: `round ${round}`, clientMessageId: `key-${unique()}` };
    const path = `/chats/${chat.id}/messages`;
    const answers = await Promise.all([
      ...[0, 1, 0].map(async (replica) => (await ann.rest("POST", path, send, { expect: [200, 201], replica })).body.id),
      ...speakers.map(async (speaker) => {
        const ack = await speaker.ask("message:send", { ...send, chatId: chat.id });
        assert.equal(ack.success, true, show(ack));
        return ack.messageId;
      }),
    ]);
    assert.equal(new Set(answers).size, 1, `five retries at once became ${new Set(answers).size} messages`);
    // Five sends have been counted for this second.
    await quiet(700);
  }
  const last = await ann.say(chat.id, "afterwards");
  for (const listener of listeners) {
    await listener.hears("message:new", (one) => one.id === last.id);
    const texts = listener.messages(chat.id).map((one) => one.content);
    assert.deepEqual(texts, ["round 0", "round 1", "round 2", "round 3", "round 4", "afterwards"]);
  }
});

scene("a key belongs to its chat and to its sender", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const [one, two] = [await group(ann, [ben]), await group(ann, [ben])];
  const speaker = await ann.listen({ replica: 1 });
  const clientMessageId = `key-${unique()}`;
  const mine = await ann.say(one.id, "mine", { clientMessageId });
  const theirs = await ben.say(one.id, "theirs", { clientMessageId });
  assert.notEqual(mine.id, theirs.id, "two people may have the same key");
  await ann.say(two.id, "elsewhere", { clientMessageId, expect: 409 });
  const ack = await speaker.ask("message:send", { chatId: two.id, content: "elsewhere", clientMessageId });
  assert.deepEqual([ack.success, ack.code], [false, "CONFLICT"], show(ack));
});

scene("what one socket sends is handled in the order it was sent", async ({ person, people }) => {
  const ann = await person("ann");
  const crowd = await people(20);
  const chat = await group(ann, crowd);
  const witness = await ann.listen({ replica: 1 });
  const speakers = await Promise.all(crowd.map((one, index) => one.listen({ replica: index })));
  const acksOf = await Promise.all(
    speakers.map(async (speaker, who) => {
      const order = [];
      // All at once: ten in a second is what one person may.
      const acks = await Promise.all(
        Array.from({ length: 10 }, async (_, number) => {
          const ack = await speaker.ask("message:send", { chatId: chat.id, content: `${who}:${number}` });
          order.push(number);
          return ack;
        }),
      );
      assert.deepEqual(order, [...order].sort((a, b) => a - b), `${speaker.label}: acks should come in the order of the sends`);
      for (const ack of acks) assert.equal(ack.success, true, show(ack));
      return acks;
    }),
  );
  const acks = acksOf.flat();
  await oneOrder([witness, ...speakers], chat.id, acks.map((ack) => ack.messageId), 15_000);
  const told = witness.messages(chat.id).map((one) => one.content);
  for (const [who] of crowd.entries()) {
    const numbers = told.filter((text) => text.startsWith(`${who}:`)).map((text) => Number(text.split(":")[1]));
    assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], `the messages of member ${who} in the order they were sent`);
  }
});

scene("different commands of one socket keep their order, too", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const speaker = await ann.listen({ replica: 0 });
  const listener = await ben.listen({ replica: 1 });
  for (let round = 0; round < 3; round += 1) {
    const said = await speaker.ask("message:send", { chatId: chat.id, content: "draft" });
    speaker
      .emit("message:edit", { messageId: said.messageId, content: "second" })
      .emit("message:edit", { messageId: said.messageId, content: "third" })
      .emit("message:delete", { messageId: said.messageId })
      .emit("message:send", { chatId: chat.id, content: `after ${round}` });
    await listener.hears("message:new", (one) => one.content === `after ${round}`);
    const about = listener.everything.filter(({ body }) => (body?.messageId ?? body?.id) === said.messageId);
    assert.deepEqual(
      about.map(({ name, body }) => [name, body.content]),
      [["message:new", "draft"], ["message:edited", "second"], ["message:edited", "third"], ["message:deleted", "[Deleted]"]],
    );
  }
});

scene("two clients never see two orders", async ({ person, people }) => {
  const ann = await person("ann");
  const crowd = await people(10, "sender");
  const chat = await group(ann, crowd);
  const ears = (await Promise.all(crowd.map((one) => one.listenOnBoth()))).flat();
  const witness = await ann.listen({ replica: 1 });
  const sent = await Promise.all(
    crowd.map((one, who) =>
      paced(8, Array.from({ length: 16 }, (_, number) => `${who}:${number}`), async (content, number) => {
        // Half by REST, half by socket, on both replicas.
        if (number % 2 === 0) return (await one.say(chat.id, content, { replica: who + number / 2 })).id;
        const ack = await ears[2 * who + ((number - 1) / 2) % 2].ask("message:send", { chatId: chat.id, content });
        assert.equal(ack.success, true, show(ack));
        return ack.messageId;
      }),
    ),
  );
  const order = await oneOrder([witness, ...ears], chat.id, sent.flat(), 15_000);
  const stored = (await ann.history(chat.id)).filter((one) => one.contentType !== "system").map((one) => one.id);
  assert.deepEqual(order, stored, "live order and stored order are one");
});

scene(
  "ten messages a second and no more, over REST and both replicas' sockets together",
  async ({ person }) => {
    const [ann, ben] = [await person("ann"), await person("ben")];
    const chat = await group(ann, [ben]);
    const speakers = await ann.listenOnBoth();
    const listener = await ben.listen({ replica: 1 });
    const answers = await Promise.all(
      Array.from({ length: 45 }, async (_, index) => {
        const content = `number ${index}`;
        if (index % 3 < 2) return speakers[index % 3].ask("message:send", { chatId: chat.id, content });
        const path = `/chats/${chat.id}/messages`;
        const { status, body } = await ann.rest("POST", path, { content }, { expect: [201, 429], replica: index });
        return { success: status === 201, code: body.code, messageId: body.id };
      }),
    );
    const accepted = answers.filter((answer) => answer.success);
    const refused = answers.filter((answer) => !answer.success);
    // The window may turn once while this goes on.
    assert.ok(
      accepted.length >= 10 && accepted.length <= 25,
      `of 45 messages at once about 10 should have been accepted, not ${accepted.length}`,
    );
    for (const answer of refused) assert.equal(answer.code, "RATE_LIMIT_EXCEEDED", show(answer));
    await oneOrder([listener, ...speakers], chat.id, accepted.map((answer) => answer.messageId), PATIENCE);
  },
  { skip: !RATE_LIMITS && "RATE_LIMITS=off" },
);
