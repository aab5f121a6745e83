// What becomes of messages: edits, deletions, reactions, replies. Contract 3.6, 3.10, Q30.

import assert from "node:assert/strict";

import { contacts, group, scene } from "../lib/scene.js";
import { pause, quiet, show } from "../lib/until.js";

/** Ann, Ben and their group; Ann's sockets and Ben's, each on both replicas, all of which have spoken (3.4). */
async function together(person) {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const [mine, theirs] = [await ann.listenOnBoth(), await ben.listenOnBoth()];
  await Promise.all([...mine, ...theirs].map((ear) => ear.speaks()));
  return { ann, ben, chat, mine, theirs, all: [...mine, ...theirs] };
}

const isTime = (text) => typeof text === "string" && !Number.isNaN(Date.parse(text));

scene("an edit is told to everybody, whichever way it was made", async ({ person }) => {
  const { ann, ben, chat, mine, theirs, all } = await together(person);
  const said = await ann.say(chat.id, "first version");
  const answer = await ann.put(`/messages/${said.id}`, { content: "  <b>second</b> <script>version</script> " }, { expect: 200 });
  const { message, ...bare } = answer;
  assert.deepEqual(bare, message, "bare and wrapped");
  assert.equal(answer.isEdited, true);
  assert.match(answer.content, /^<b>second<\/b> &lt;script/, `edits are made harmless, too: ${answer.content}`);
  for (const ear of all) {
    const told = await ear.hears("message:edited", (one) => one.messageId === said.id);
    assert.deepEqual([told.id, told.chatId, told.content, told.isEdited], [said.id, chat.id, answer.content, true]);
    assert.ok(isTime(told.editedAt), show(told));
  }

  mine[1].emit("message:edit", { messageId: said.id, content: "third version" });
  const done = await mine[1].hears("message:edit:success");
  assert.equal(done.messageId, said.id);
  for (const ear of all) await ear.hears("message:edited", (one) => one.content === "third version");

  theirs[0].emit("message:edit", { messageId: said.id, content: "ben's version" });
  const refused = await theirs[0].hears("message:edit:error");
  assert.equal(refused.messageId, said.id);
  assert.equal(typeof refused.error, "string");
  await ben.put(`/messages/${said.id}`, { content: "ben's version" }, { expect: 403 });
  await quiet();
  for (const ear of all) ear.heardNo("message:edited", (one) => one.content.includes("ben"), "by somebody else");
  const [stored] = (await ben.history(chat.id)).filter((one) => one.id === said.id);
  assert.deepEqual([stored.content, stored.isEdited], ["third version", true]);
});

scene("a deletion is told to everybody and leaves no text", async ({ person }) => {
  const { ann, ben, chat, mine, theirs, all } = await together(person);
  const secret = "mothballs in the drawer";
  const said = await ann.say(chat.id, secret, { metadata: { note: "mothballs" } });
  await ben.post(`/messages/${said.id}/reactions`, { emoji: "👍" }, { expect: 201 });
  const reply = await ben.say(chat.id, "a reply", { replyToId: said.id });

  theirs[0].emit("message:delete", { messageId: said.id });
  assert.equal((await theirs[0].hears("message:delete:error")).messageId, said.id, "only the sender deletes");
  mine[0].emit("message:delete", { messageId: said.id });
  assert.equal((await mine[0].hears("message:delete:success")).messageId, said.id);
  for (const ear of all) {
    const told = await ear.hears("message:deleted", (one) => one.messageId === said.id);
    assert.deepEqual([told.id, told.chatId, told.content, told.isDeleted], [said.id, chat.id, "[Deleted]", true]);
    assert.ok(isTime(told.deletedAt), show(told));
  }
  const history = await ben.history(chat.id);
  const gone = history.find((one) => one.id === said.id);
  assert.deepEqual(
    [gone.content, gone.contentType, gone.metadata, gone.reactions, gone.isDeleted],
    ["[Deleted]", "text", {}, [], true],
    "it stays in the list as a placeholder",
  );
  assert.equal(history.find((one) => one.id === reply.id).replyTo.content, "[Message Deleted]");
  assert.ok(!JSON.stringify(history).includes("mothballs"), "the text is nowhere in the list");

  // It takes nothing more.
  await ann.put(`/messages/${said.id}`, { content: "undo" }, { expect: [400, 403, 404, 409] });
  mine[0].emit("message:edit", { messageId: said.id, content: "undo" });
  await mine[0].hears("message:edit:error", (one) => one.messageId === said.id);
  theirs[0].emit("reaction:add", { messageId: said.id, emoji: "👍" });
  await theirs[0].hears("reaction:error", (one) => one.messageId === said.id);

  // Nor is it told to somebody who was away.
  const late = await ben.listen({ replica: 0, auth: { token: ben.token, positions: { [chat.id]: said.seq - 1 } } });
  const last = await ann.say(chat.id, "last");
  await late.hears("message:new", (one) => one.id === last.id);
  assert.ok(!JSON.stringify(late.everything).includes("mothballs"), "a replay must not bring the text back");
  const other = await ann.say(chat.id, "by REST");
  await ann.rest("DELETE", `/messages/${other.id}`, undefined, { expect: 204 });
  for (const ear of all) await ear.hears("message:deleted", (one) => one.messageId === other.id);
});

scene("reactions come and go, each told once to everybody, the actor too", async ({ person }) => {
  const { ann, ben, chat, theirs, all } = await together(person);
  const said = await ann.say(chat.id, "react!");

  const { reaction, ...added } = await ben.post(`/messages/${said.id}/reactions`, { emoji: "👍" }, { expect: 201 });
  assert.deepEqual(added, reaction, "bare and wrapped");
  for (const ear of all) {
    const told = await ear.hears("reaction:added", (one) => one.emoji === "👍");
    assert.deepEqual(
      [told.id, told.reactionId, told.messageId, told.chatId, told.userId],
      [added.id, added.id, said.id, chat.id, ben.id],
    );
    assert.ok(isTime(told.createdAt), show(told));
  }
  await ben.post(`/messages/${said.id}/reactions`, { emoji: "👍" }, { expect: 200 });

  theirs[1].emit("reaction:add", { messageId: said.id, emoji: "👩‍👩‍👧" });
  for (const ear of all) await ear.hears("reaction:added", (one) => one.emoji === "👩‍👩‍👧" && one.userId === ben.id);
  const [stored] = (await ann.history(chat.id)).filter((one) => one.id === said.id);
  assert.deepEqual(stored.reactions.map((one) => one.emoji).sort(), ["👍", "👩‍👩‍👧"].sort());

  const second = theirs[0].heard("reaction:added", (one) => one.emoji === "👩‍👩‍👧")[0];
  theirs[1].emit("reaction:remove", { reactionId: second.id });
  await ben.rest("DELETE", `/messages/${said.id}/reactions/${added.id}`, undefined, { expect: 204 });
  for (const ear of all) {
    for (const [id, emoji] of [[added.id, "👍"], [second.id, "👩‍👩‍👧"]]) {
      const told = await ear.hears("reaction:removed", (one) => one.reactionId === id);
      assert.deepEqual([told.id, told.messageId, told.userId, told.emoji, told.chatId], [id, said.id, ben.id, emoji, chat.id]);
    }
  }
  await quiet();
  for (const ear of all) {
    assert.equal(ear.heard("reaction:added").length, 2, `${ear.label}: each once, and the repeated one not`);
    assert.equal(ear.heard("reaction:removed").length, 2);
  }
});

scene("a reaction is found by its emoji and by the time that the client made up", async ({ person }) => {
  const { ann, ben, chat, all } = await together(person);
  const said = await ann.say(chat.id, "react!");
  await ben.post(`/messages/${said.id}/reactions`, { emoji: "🎉" }, { expect: 201 });
  await ben.rest("DELETE", `/messages/${said.id}/reactions/${encodeURIComponent("🎉")}`, undefined, { expect: 204 });
  await ben.post(`/messages/${said.id}/reactions`, { emoji: "❤️" }, { expect: 201 });
  await ben.rest("DELETE", `/messages/${said.id}/reactions/${Date.now()}`, undefined, { expect: 204 });
  await ben.rest("DELETE", `/messages/${said.id}/reactions/${Date.now()}`, undefined, { expect: 404 });
  for (const ear of all) await ear.hearsAll(2, "reaction:removed");
});

scene("reactions that cannot be are answered by reaction:error", async ({ person }) => {
  const { ann, chat, all, theirs } = await together(person);
  const eve = await person("eve");
  const stranger = await eve.listen({ replica: 1 });
  const said = await ann.say(chat.id, "react!");
  const nowhere = "00000000-0000-7000-8000-000000000000";
  stranger.emit("reaction:add", { messageId: said.id, emoji: "👍" });
  assert.equal((await stranger.hears("reaction:error")).messageId, said.id);
  theirs[0].emit("reaction:add", { messageId: said.id, emoji: "much too long to be one emoji" });
  assert.equal((await theirs[0].hears("reaction:error", (one) => one.messageId === said.id)).messageId, said.id);
  theirs[0].emit("reaction:remove", { reactionId: nowhere });
  await theirs[0].hears("reaction:error", (one) => one.reactionId === nowhere);
  await pause(1_100);
  const mine = await ann.post(`/messages/${said.id}/reactions`, { emoji: "👍" }, { expect: 201 });
  theirs[0].emit("reaction:remove", { reactionId: mine.id });
  await theirs[0].hears("reaction:error", (one) => one.reactionId === mine.id);
  await quiet();
  for (const ear of all) ear.heardNo("reaction:removed", undefined, "of somebody else's reaction");
});

scene("a reply carries what it answers, and answers only what is in the same chat", async ({ person }) => {
  const { ann, ben, chat, theirs, all } = await together(person);
  const said = await ann.say(chat.id, "question");
  const ack = await theirs[0].ask("message:send", { chatId: chat.id, content: "answer", replyToId: said.id });
  assert.equal(ack.success, true, show(ack));
  for (const ear of all) {
    const { replyToId, replyTo } = await ear.hears("message:new", (one) => one.id === ack.messageId);
    assert.deepEqual(
      [replyToId, replyTo.id, replyTo.senderId, replyTo.sender.username, replyTo.content, replyTo.contentType],
      [said.id, said.id, ann.id, ann.username, "question", "text"],
    );
    assert.ok(isTime(replyTo.createdAt), show(replyTo));
  }
  const elsewhere = await ann.say(await contacts(ann, ben), "in another chat");
  await ann.say(chat.id, "wrong", { replyToId: elsewhere.id, expect: 400 });
  const refused = await theirs[0].ask("message:send", { chatId: chat.id, content: "wrong", replyToId: elsewhere.id });
  assert.deepEqual([refused.success, refused.code], [false, "VALIDATION_ERROR"], show(refused));
});

scene("markup is made harmless by socket as it is by REST", async ({ person }) => {
  const { ann, chat, mine, theirs } = await together(person);
  const inputs = [
    "<b onclick=\"x()\">z</b>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<b><i>x</b></i>", "a < b & c",
    "&lt;script&gt;", "<strong>open", "<a href=\"javascript:alert(1)\">y</a><svg/onload=alert(2)>",
  ];
  for (const content of inputs) {
    const ack = await mine[0].ask("message:send", { chatId: chat.id, content });
    const answer = await ann.say(chat.id, content);
    const byRest = answer.content;
    const bySocket = (await theirs[1].hears("message:new", (one) => one.id === ack.messageId)).content;
    assert.equal(bySocket, byRest, `both ways should make the same of ${content}`);
    const left = bySocket.replace(/<\/?(b|i|strong|em|u)>/g, "");
    assert.ok(!left.includes("<"), `only the five tags without attributes may be left of ${content}, not ${bySocket}`);
    await pause(200);
  }
});
