// How far messages got: contract 3.8, Q6, Q28.

import assert from "node:assert/strict";

import { group, scene } from "../lib/scene.js";
import { PATIENCE, paced, quiet, show, until } from "../lib/until.js";

const NAMES = ["message:mark-read", "message:read"];

/** The ticks that REST answers to the author. */
async function ticks(author, chatId) {
  const own = (await author.history(chatId)).filter((one) => one.senderId === author.id);
  return own.map((one) => [one.content, one.deliveryStatus, one.readCount.read, one.readCount.total]);
}

scene("reading a message reads all before it, and each is told to its author once", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const authors = await ann.listenOnBoth();
  const reader = await ben.listen({ replica: 1 });
  const said = await paced(8, ["one", "two", "three"], (text) => ann.say(chat.id, text));
  reader.emit("message:mark-read", { messageId: said[1].id });
  for (const author of authors) {
    const told = await author.hearsAll(2, "message:read");
    assert.deepEqual(told.map((one) => one.messageId).sort(), [said[0].id, said[1].id].sort(), "both messages up to the second");
    for (const one of told) {
      assert.deepEqual([one.chatId, one.readBy, one.userId], [chat.id, ben.id, ben.id]);
      assert.deepEqual(one.readCount, { total: 1, read: 1 });
      assert.ok(!Number.isNaN(Date.parse(one.readAt)), `readAt should be a time: ${show(one)}`);
    }
  }
  // That the third has arrived is noted a moment later.
  await until(async () => (await ticks(ann, chat.id)).at(-1)[1] !== "sent", PATIENCE, "the third message is delivered");
  assert.deepEqual(await ticks(ann, chat.id), [["one", "read", 1, 1], ["two", "read", 1, 1], ["three", "delivered", 0, 1]]);

  // The same again, in every way, is not told.
  for (const name of NAMES) for (const { id } of said.slice(0, 2)) reader.emit(name, { messageId: id });
  reader.emit("message:read", { chatId: chat.id, messageIds: [said[0].id, said[1].id] });
  reader.emit("message:read", { chatId: chat.id, messageIds: [said[2].id] });
  for (const author of authors) {
    await author.hears("message:read", (one) => one.messageId === said[2].id);
    await quiet();
    assert.equal(author.heard("message:read").length, 3, `${author.label}: each message once: ${author.summary()}`);
  }
});

scene("marking a chat read tells of each message that was not", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const chat = await group(ann, [ben, cid]);
  const [author, other] = [await ann.listen({ replica: 0 }), await cid.listen({ replica: 0 })];
  const reader = await ben.listen({ replica: 1 });
  const byAnn = await paced(8, ["one", "two", "three"], (text) => ann.say(chat.id, text));
  const byCid = await cid.say(chat.id, "four");
  await reader.hears("message:new", (one) => one.id === byCid.id);
  const unread = async () => (await ben.get(`/chats/${chat.id}`)).unreadCount;
  assert.ok((await unread()) >= 4, "ben has at least these four unread");

  reader.emit("chat:mark-all-read", { chatId: chat.id });
  const told = await author.hearsAll(3, "message:read");
  assert.deepEqual(told.map((one) => one.messageId).sort(), byAnn.map((one) => one.id).sort(), "each of ann's messages");
  for (const one of told) assert.deepEqual(one.readCount, { total: 2, read: 1 });
  const [hers] = await other.hearsAll(1, "message:read");
  assert.equal(hers.messageId, byCid.id, "cid is told of cid's message only");
  assert.equal(await unread(), 0);

  reader.emit("chat:mark-all-read", { chatId: chat.id });
  for (const { id } of byAnn) reader.emit("message:mark-read", { messageId: id });
  const last = await ann.say(chat.id, "five");
  reader.emit("message:mark-read", { messageId: last.id });
  await author.hears("message:read", (one) => one.messageId === last.id);
  await quiet();
  assert.equal(author.heard("message:read").length, 4, "repetition is not told");
  reader.heardNo("message:read", undefined, "of messages that are not one's own");
});

scene("in a group the count grows with each reader, and REST says the same", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const chat = await group(ann, [ben, cid]);
  const author = await ann.listen({ replica: 0 });
  const said = await ann.say(chat.id, "for two readers");
  assert.deepEqual([said.deliveryStatus, said.readCount], ["sent", { total: 2, read: 0 }]);
  assert.deepEqual(await ticks(ann, chat.id), [["for two readers", "sent", 0, 2]], "nobody else is there");

  const first = await ben.listen({ replica: 1 });
  await author.hears("message:delivered", (one) => one.messageId === said.id);
  assert.deepEqual(await ticks(ann, chat.id), [["for two readers", "delivered", 0, 2]]);

  first.emit("message:mark-read", { messageId: said.id });
  await author.hears("message:read", (one) => one.readBy === ben.id && one.readCount.read === 1 && one.readCount.total === 2);
  assert.deepEqual(await ticks(ann, chat.id), [["for two readers", "read", 1, 2]]);

  const second = await cid.listen({ replica: 0 });
  second.emit("message:mark-read", { messageId: said.id });
  await author.hears("message:read", (one) => one.readBy === cid.id && one.readCount.read === 2);
  assert.deepEqual(await ticks(ann, chat.id), [["for two readers", "read", 2, 2]]);
});

scene("a message that reached somebody's socket is told to be delivered", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const authors = await ann.listenOnBoth();
  await ben.listenOnBoth();
  const said = await ann.say(chat.id, "live");
  for (const author of authors) {
    const told = await author.hears("message:delivered", (one) => one.messageId === said.id);
    assert.deepEqual(
      [told.chatId, told.deliveredTo, told.userId, told.status],
      [chat.id, ben.id, ben.id, "delivered"],
    );
    assert.ok(!Number.isNaN(Date.parse(told.deliveredAt)), `deliveredAt should be a time: ${show(told)}`);
  }
  await quiet();
  for (const author of authors) {
    assert.equal(author.heard("message:delivered").length, 1, "once, though ben has two sockets");
  }
  assert.deepEqual(await ticks(ann, chat.id), [["live", "delivered", 0, 1]]);
});

scene("reading the page over REST delivers, too", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const author = await ann.listen({ replica: 0 });
  const said = await ann.say(chat.id, "fetched");
  await ben.history(chat.id, { replica: 1 });
  await author.hears("message:delivered", (one) => one.messageId === said.id && one.deliveredTo === ben.id);
  assert.deepEqual(await ticks(ann, chat.id), [["fetched", "delivered", 0, 1]]);
});

scene("a client that reports delivery itself is heard, and not twice", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const author = await ann.listen({ replica: 0 });
  const socket = await ben.listen({ replica: 1 });
  const said = await ann.say(chat.id, "reported");
  await socket.hears("message:new", (one) => one.id === said.id);
  socket.emit("message:delivered", { messageId: said.id }).emit("message:delivered", { messageId: said.id });
  await author.hears("message:delivered", (one) => one.messageId === said.id);
  await quiet();
  assert.equal(author.heard("message:delivered").length, 1);
});

scene("REST marks read like the socket does", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const author = await ann.listen({ replica: 1 });
  const [one, two] = await paced(8, ["one", "two"], (text) => ann.say(chat.id, text));
  await ben.rest("POST", `/messages/${one.id}/read`, undefined, { expect: 204 });
  await author.hears("message:read", (told) => told.messageId === one.id);
  await ben.rest("POST", `/chats/${chat.id}/read`, undefined, { expect: 204 });
  await author.hears("message:read", (told) => told.messageId === two.id);
  await quiet();
  assert.equal(author.heard("message:read").length, 2);
});

scene("one's own messages and foreign chats cannot be marked", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben]);
  const [author, stranger] = [await ann.listen({ replica: 0 }), await eve.listen({ replica: 1 })];
  const said = await ann.say(chat.id, "private");
  author.emit("message:mark-read", { messageId: said.id }).emit("chat:mark-all-read", { chatId: chat.id });
  for (const name of NAMES) stranger.emit(name, { messageId: said.id });
  stranger.emit("chat:mark-all-read", { chatId: chat.id }).emit("message:delivered", { messageId: said.id });
  await eve.rest("POST", `/messages/${said.id}/read`, undefined, { expect: 404 });
  await quiet(1_000);
  author.heardNo("message:read");
  author.heardNo("message:delivered");
  assert.deepEqual(await ticks(ann, chat.id), [["private", "sent", 0, 1]]);
  assert.equal(stranger.socket.connected, true);
});

scene("fifty bubbles that come into view at once are no flood", async ({ person, people }) => {
  const ann = await person("ann");
  const writers = await people(5, "writer");
  const chat = await group(ann, writers);
  const ears = await Promise.all(writers.map((one, index) => one.listen({ replica: index })));
  const said = (
    await Promise.all(writers.map((one) => paced(8, Array(10).keys(), (index) => one.say(chat.id, `number ${index}`))))
  ).flat();
  const reader = await ann.listen({ replica: 1 });
  for (const { id } of said) reader.emit("message:mark-read", { messageId: id });
  for (const [index, ear] of ears.entries()) {
    await until(
      () => new Set(ear.heard("message:read", (one) => one.readBy === ann.id).map((one) => one.messageId)).size === 10,
      8_000,
      () => `${ear.label} should hear that its ten messages were read, and heard ${ear.heard("message:read").length}`,
    );
    assert.equal(ear.heard("message:read").length, 10, `writer ${index}: each once`);
  }
  assert.equal((await reader.ask("message:send", { chatId: chat.id, content: "and I may still write" })).success, true);
});
