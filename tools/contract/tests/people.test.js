// Contacts, groups and profiles, as they are told: contract 3.6, 3.7, 3.10, Q24.

import assert from "node:assert/strict";

import { contacts, group, scene } from "../lib/scene.js";
import { quiet, show } from "../lib/until.js";

const chatOf = (body) => body.chatId ?? body.chat?.id ?? body.id;
const isSystem = (chat) => (one) => one.chatId === chat.id && one.contentType === "system";

scene("a contact request, its acceptance and the end are told to the other", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const [mine, theirs, strangers] = [await ann.listenOnBoth(), await ben.listenOnBoth(), await eve.listenOnBoth()];
  const asked = await ann.post("/contacts/request", { contactId: ben.id }, { expect: 201 });
  for (const ear of theirs) {
    const told = await ear.hears("contact:request");
    const request = told.request ?? told;
    assert.equal(request.id, asked.request.id);
    assert.equal(request.sender.username, ann.username, "the addressee sees who asks");
  }
  await ben.rest("POST", `/contacts/${asked.request.id}/accept`, undefined, { expect: 200 });
  for (const ear of mine) {
    const told = await ear.hears("contact:accepted");
    const contact = told.contact ?? told;
    assert.equal(contact.username, ben.username, "the requester sees the new contact");
    const said = await ben.post("/chats/direct", { contactId: ann.id }, { expect: 200 });
    assert.equal(contact.id, said.id, "whose id is that of the direct chat");
  }
  await ben.rest("DELETE", `/contacts/${ann.id}`, undefined, { expect: 204 });
  for (const ear of mine) await ear.hears("contact:removed");
  await quiet();
  for (const ear of strangers) {
    for (const name of ["contact:request", "contact:accepted", "contact:removed"]) ear.heardNo(name, undefined, "as a stranger");
  }
});

scene("after removal or blocking nothing more can be said in the direct chat, and history stays", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const [withBen, withCid] = [await contacts(ann, ben), await contacts(ann, cid)];
  await ann.say(withBen, "to ben");
  await ann.say(withCid, "to cid");
  await ann.rest("DELETE", `/contacts/${ben.id}`, undefined, { expect: 204 });
  await ann.rest("POST", `/contacts/${cid.id}/block`, undefined, { expect: 200 });
  const ear = await ann.listen({ replica: 1 });
  for (const [somebody, chatId] of [[ben, withBen], [cid, withCid]]) {
    await somebody.say(chatId, "still there?", { expect: 403 });
    const socket = await somebody.listen({ replica: 0 });
    const ack = await socket.ask("message:send", { chatId, content: "still there?" });
    assert.deepEqual([ack.success, ack.code], [false, "FORBIDDEN"], show(ack));
    assert.equal((await somebody.history(chatId)).length, 1, "history stays readable");
  }
  ear.heardNo("message:new", (one) => one.content === "still there?");
});

scene("each change of a group is told as an event and as a message of the system", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const [mine, theirs, late] = [await ann.listenOnBoth(), await ben.listenOnBoth(), await cid.listenOnBoth()];
  const chat = await group(ann, [ben], "Before");
  for (const ear of [...mine, ...theirs]) {
    const told = await ear.hears("chat:created", (one) => chatOf(one) === chat.id);
    const { name, type, ownerId, participants } = told.chat ?? told;
    assert.deepEqual([name, type, ownerId, participants.length], ["Before", "group", ann.id, 2]);
  }

  const count = (ear) => ear.heard("message:new", isSystem(chat)).length;
  /** A step, the event it makes and for whom, and that the system says something about it. */
  const step = async (act, ears, name, check) => {
    const before = ears.map(count);
    await act();
    for (const [index, ear] of ears.entries()) {
      check(await ear.hears(name, (one) => chatOf(one) === chat.id));
      await ear.hears("message:new", () => count(ear) > before[index]);
      const said = ear.heard("message:new", isSystem(chat)).at(-1);
      assert.equal(said.senderId, null, "the system is nobody");
      assert.ok(said.content.length > 0 && !said.content.includes("&"), `plain text, not escaped: ${said.content}`);
    }
  };

  await step(
    () => ann.rest("PUT", `/chats/${chat.id}`, { name: "After" }, { expect: 200 }),
    [...mine, ...theirs],
    "chat:updated",
    (told) => assert.equal((told.chat ?? told).name, "After"),
  );
  await step(
    () => ann.rest("POST", `/chats/${chat.id}/participants`, { userId: cid.id }, { expect: 201 }),
    [...mine, ...theirs],
    "chat:participant_added",
    (told) => {
      assert.equal(told.userId, cid.id);
      assert.equal(told.participant.user.username, cid.username);
    },
  );
  for (const ear of late) await ear.hears("chat:created", (one) => chatOf(one) === chat.id);
  await step(
    () => ann.rest("DELETE", `/chats/${chat.id}/participants/${cid.id}`, undefined, { expect: [200, 204] }),
    [...mine, ...theirs],
    "chat:participant_removed",
    (told) => assert.equal(told.userId, cid.id),
  );
  for (const ear of late) await ear.hears("chat:participant_removed", (one) => one.userId === cid.id);
  await step(
    () => ann.rest("POST", `/chats/${chat.id}/leave`, undefined, { expect: 204 }),
    theirs,
    "chat:participant_removed",
    () => undefined,
  );
  const left = await ben.get(`/chats/${chat.id}`);
  assert.equal(left.ownerId, ben.id, "the last member owns the group now");
  await ben.rest("DELETE", `/chats/${chat.id}`, undefined, { expect: 204 });
  for (const ear of theirs) await ear.hears("chat:deleted", (one) => chatOf(one) === chat.id);
  await quiet();
  for (const ear of mine) ear.heardNo("chat:deleted", undefined, "of a group that was left");
});

scene("a deleted group takes and tells nothing more", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const ears = await ben.listenOnBoth();
  await ann.say(chat.id, "one");
  await ann.rest("DELETE", `/chats/${chat.id}`, undefined, { expect: 204 });
  for (const ear of ears) await ear.hears("chat:deleted");
  const ack = await ears[0].ask("message:send", { chatId: chat.id, content: "two" });
  assert.equal(ack.success, false);
  const back = await ben.listen({ replica: 0, auth: { token: ben.token, positions: { [chat.id]: 0 } } });
  await quiet();
  assert.deepEqual(back.messages(chat.id), []);
});

scene("a new name or picture of oneself is told to all who may see it", async ({ person }) => {
  const [ann, ben, cid, eve] = [await person("ann"), await person("ben"), await person("cid"), await person("eve")];
  await contacts(ann, ben);
  await group(cid, [ann]);
  const entitled = [...(await ann.listenOnBoth()), ...(await ben.listenOnBoth()), ...(await cid.listenOnBoth())];
  const stranger = await eve.listen({ replica: 1 });
  await ann.put("/users/me", { displayName: "Ann of Green Gables" }, { expect: 200 });
  for (const ear of entitled) {
    const told = await ear.hears("user:profile:update", (one) => one.userId === ann.id);
    assert.deepEqual([told.user.id, told.user.username, told.user.displayName], [ann.id, ann.username, "Ann of Green Gables"]);
    assert.ok(!Number.isNaN(Date.parse(told.timestamp)), show(told));
  }
  await quiet();
  stranger.heardNo("user:profile:update", undefined, "as a stranger");
});
