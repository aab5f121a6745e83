// Images, from the upload to both ends: contract 2.1 nos. 7 and 30, 5.2, D40–D45, Q8, Q31.

import assert from "node:assert/strict";
import { deflateSync, crc32 } from "node:zlib";

import { request, unique } from "../lib/person.js";
import { contacts, group, scene } from "../lib/scene.js";
import { RATE_LIMITS, REPLICAS } from "../lib/servers.js";
import { show } from "../lib/until.js";

const ATTACHMENT = [
  "createdAt", "fileName", "fileSize", "fileType", "height", "id", "mediumUrl", "messageId", "originalUrl", "thumbnailUrl", "url",
  "width",
];

/** A PNG of one colour. */
function png(width, height, [red, green, blue] = [200, 30, 30]) {
  const chunk = (name, body) => {
    const named = Buffer.concat([Buffer.from(name), body]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(body.length);
    sum.writeUInt32BE(crc(named));
    return Buffer.concat([length, named, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const row = Buffer.concat([Buffer.from([0]), Buffer.alloc(width * 3, Buffer.from([red, green, blue]))]);
  const pixels = deflateSync(Buffer.concat(Array.from({ length: height }, () => row)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

// Node has had one of its own since 20.15.
function crc(bytes) {
  if (crc32) return crc32(bytes);
  let sum = ~0;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

/** What the client makes of an upload. */
const named = (image) => ({ url: image.url, thumbnailUrl: image.thumbnailUrl, originalUrl: image.url });

/** Fetch an image as a page does: by its address alone. The address may be one that only browsers reach, so any replica will do. */
function shown(image, replica, { expect = 200, headers } = {}) {
  return request(REPLICAS[replica], "GET", new URL(image).pathname, { expect, headers });
}

scene("what the client uploads and sends reaches both ends, whole and small", async ({ person }) => {
  const [ann, ben] = [await person("ann", 0), await person("ben", 1)];
  const chatId = await contacts(ann, ben);
  const ears = [...(await ann.listenOnBoth()), ...(await ben.listenOnBoth())];
  // Up to five at once, each in a request of its own.
  const files = [png(1_200, 900), png(20, 10), png(1, 1)];
  const images = await Promise.all(files.map((bytes, index) => ann.upload({ [`${index}.png`]: bytes }, { replica: index })));
  for (const image of images) {
    for (const field of ATTACHMENT) assert.ok(field in image, `an upload should say ${field}; it was ${show(image)}`);
    const { attachment, attachments, ...bare } = image;
    assert.deepEqual(attachment, bare, "bare and wrapped at once");
    assert.deepEqual(attachments, [bare]);
    assert.equal(bare.messageId, null);
  }
  const metadata = { images: images.map(named), sentAt: 7.5 };
  const sent = await ann.post(`/chats/${chatId}/messages`, { content: "", contentType: "image", metadata }, { expect: 201 });
  for (const ear of ears) {
    const told = await ear.hears("message:new", (one) => one.id === sent.id);
    assert.equal(told.contentType, "image");
    assert.equal(told.content, "");
    assert.deepEqual(told.metadata, metadata, "metadata comes back untouched");
    assert.deepEqual(told.attachments.map((one) => one.id), images.map((one) => one.id));
    assert.ok(told.attachments.every((one) => one.messageId === sent.id));
  }
  const read = (await ben.history(chatId)).at(-1);
  assert.deepEqual(read.attachments, sent.attachments);
  for (const image of read.attachments) {
    for (const address of [image.url, image.mediumUrl, image.thumbnailUrl]) {
      for (const replica of [0, 1]) {
        const { headers, bytes } = await shown(address, replica);
        assert.match(headers["content-type"], /^image\/(png|jpeg)$/);
        assert.match(headers["cache-control"], /max-age=31536000.*immutable/);
        assert.equal(headers["x-content-type-options"], "nosniff");
        assert.equal(Number(headers["content-length"]), bytes.length);
        await shown(address, replica, { expect: 304, headers: { "if-none-match": headers.etag } });
        const part = await shown(address, replica, { expect: 206, headers: { range: "bytes=0-7" } });
        assert.deepEqual(part.bytes, bytes.subarray(0, 8));
      }
    }
  }
});

scene("the same over a socket, by ids, and the ack says what everybody is told", async ({ person }) => {
  const [ann, ben] = [await person("ann", 0), await person("ben", 1)];
  const chat = await group(ann, [ben]);
  const [speaker, listener] = [await ann.listen({ replica: 0 }), await ben.listen({ replica: 1 })];
  const several = await ann.upload({ "a.png": png(30, 30), "b.png": png(40, 40) }, { field: "images" });
  assert.equal(several.attachments.length, 2);
  assert.equal(several.id, several.attachments[0].id, "the first is bare");
  const attachments = several.attachments.map((one) => one.id);
  const clientMessageId = `key-${unique()}`;
  const said = { chatId: chat.id, content: "two", contentType: "image", metadata: { attachments }, clientMessageId };
  const ack = await speaker.ask("message:send", said);
  assert.equal(ack.success, true, show(ack));
  const told = await listener.hears("message:new", (one) => one.id === ack.messageId);
  assert.deepEqual(told, ack.message);
  assert.deepEqual(told.attachments.map((one) => one.id), attachments);
  assert.deepEqual(told.metadata.images, several.attachments.map(named), "the client shows what it finds there");
  const again = await speaker.ask("message:send", said);
  assert.deepEqual([again.success, again.messageId], [true, ack.messageId], "a retry is the same message");
  assert.deepEqual(again.message.attachments, ack.message.attachments);
});

scene("an image is its uploader's until a message uses it, and goes with the message", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann", 0), await person("ben", 1), await person("eve", 0)];
  const chatId = await contacts(ann, ben);
  const ear = await ben.listen({ replica: 1 });
  const image = await ann.upload({ "x.png": png(50, 50) });
  const message = { content: "", contentType: "image", metadata: { images: [named(image)] } };
  const path = `/chats/${chatId}/messages`;
  await ben.post(path, message, { expect: 400 });
  await ben.get(`/attachments/${image.id}`, { expect: 404 });
  await eve.delete(`/attachments/${image.id}`, { expect: 404 });
  const strange = { images: [{ ...named(image), thumbnailUrl: "https://elsewhere.example/pixel.png" }] };
  await ann.post(path, { ...message, metadata: strange }, { expect: 400 });
  const sent = await ann.post(path, message, { expect: 201 });
  assert.equal((await ben.get(`/attachments/${image.id}`, { expect: 200 })).attachment.messageId, sent.id);
  await eve.get(`/attachments/${image.id}`, { expect: 404 });
  await ann.post(path, message, { expect: 409 });
  await ann.delete(`/attachments/${image.id}`, { expect: 409 });

  await ann.delete(`/messages/${sent.id}`, { expect: 204 });
  await ear.hears("message:deleted", (one) => one.messageId === sent.id);
  const [deleted] = (await ben.history(chatId)).filter((one) => one.id === sent.id);
  assert.deepEqual([deleted.attachments, deleted.metadata, deleted.contentType], [[], {}, "text"]);
  const late = await ben.listen({ replica: 0, auth: { token: ben.token, positions: { [chatId]: 0 } } });
  const replayed = await late.hears("message:new", (one) => one.id === sent.id);
  assert.deepEqual([replayed.attachments, replayed.metadata], [[], {}], "nor does the log know its addresses");
});

scene("a picture of oneself is a small square", async ({ person }) => {
  const ann = await person("ann", 0);
  const ear = await ann.listen({ replica: 1 });
  const changed = await ann.upload(
    { "me.png": png(640, 400) },
    { field: "avatar", path: "/users/me/avatar", method: "PATCH", expect: 200 },
  );
  assert.equal(changed.user.avatarUrl, changed.avatarUrl);
  await ear.hears("user:profile:update", (told) => told.user.avatarUrl === changed.avatarUrl);
  await shown(changed.avatarUrl, 1);
});

scene("what is no image, or too much of one, is refused with a sentence", async ({ person }) => {
  const ann = await person("ann");
  const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>');
  for (const [files, expect] of [
    [{ "x.svg": svg }, 415],
    [{ "x.png": png(80, 80).subarray(0, 60) }, 400],
    [{ "x.png": png(4_097, 1) }, 400],
    [{ "x.png": Buffer.alloc(10 * 1024 * 1024 + 1) }, 413],
    [{}, 400],
  ]) {
    const refused = await ann.upload(files, { expect });
    assert.equal(typeof refused.message, "string");
    assert.equal(refused.error, refused.message);
  }
});

scene(
  "ten images a minute, on both replicas together",
  async ({ person }) => {
    const ann = await person("ann");
    for (let number = 0; number < 10; number += 1) {
      await ann.upload({ "x.png": png(2, 2) }, { replica: number });
    }
    const refused = await ann.upload({ "x.png": png(2, 2) }, { expect: 429 });
    assert.ok(refused.retryAfter > 0, show(refused));
  },
  { skip: !RATE_LIMITS && "RATE_LIMITS=off" },
);
