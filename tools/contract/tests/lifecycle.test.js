// Coming back, being sent away, and what is told in between: contract 0.9, 3.4, 3.7, 3.9 and the resume of the issue.

import assert from "node:assert/strict";

import { contacts, group, scene } from "../lib/scene.js";
import { paced, pause, quiet, show, until } from "../lib/until.js";

const texts = (ear, chatId) => ear.messages(chatId).filter((one) => one.contentType !== "system").map((one) => one.content);
const numbers = (word, count) => Array.from({ length: count }, (_, index) => `${word} ${index}`);

scene("whoever was away is told first what was missed, oldest first, then what goes on", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const missed = numbers("missed", 12);
  await paced(8, missed, (text) => ann.say(chat.id, text));
  // What goes on while ben connects.
  const live = numbers("live", 24);
  const going = paced(8, live, (text, index) => ann.say(chat.id, text, { replica: index }));
  await pause(1_000);
  const ears = [await ben.listen({ replica: 1 })];
  await going;
  await ears[0].hears("message:new", (one) => one.content === live.at(-1));
  assert.deepEqual(texts(ears[0], chat.id), [...missed, ...live], "everything once, in order");

  // It has been delivered, and noted a moment later: another socket is not told again.
  await pause(300);
  const late = await ben.listen({ replica: 0 });
  const last = await ann.say(chat.id, "last");
  for (const ear of [...ears, late]) await ear.hears("message:new", (one) => one.id === last.id);
  assert.deepEqual(texts(late, chat.id), ["last"]);
});

scene("what was missed in several chats comes oldest first", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chats = [await group(ann, [ben]), await group(ann, [ben]), { id: await contacts(ann, ben) }];
  const said = await paced(8, numbers("missed", 15), (text, index) => ann.say(chats[index % 3].id, text));
  const ear = await ben.listen({ replica: 1 });
  await ear.hears("message:new", (one) => one.id === said.at(-1).id);
  const heard = ear.heard("message:new", (one) => one.contentType !== "system").map((one) => one.content);
  assert.deepEqual(heard, said.map((one) => one.content), "by time, whichever chat it is");
});

scene("the sender of a message is not told of it again as if it had been missed", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  await paced(8, numbers("said", 3), (text) => ann.say(chat.id, text));
  const ear = await ann.listen({ replica: 1 });
  const last = await ben.say(chat.id, "answer");
  await ear.hears("message:new", (one) => one.id === last.id);
  assert.deepEqual(texts(ear, chat.id), ["answer"]);
});

scene("logging out closes the session's sockets on both replicas within a second, and no others", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const device = await ann.device(1);
  const leaving = [...(await ann.listenOnBoth()), ...(await ann.listenOnBoth({ client: "oldest" }))];
  const staying = [...(await device.listenOnBoth()), await ben.listen()];
  const { answeredAt } = await ann.rest("POST", "/auth/logout", undefined, { expect: 204 });
  for (const ear of leaving) {
    const { reason, at } = await ear.gone(3_000);
    assert.equal(reason, "io server disconnect", `${ear.label} should be told not to come back`);
    assert.ok(at - answeredAt < 1_000, `${ear.label} should be closed within a second, not after ${Math.round(at - answeredAt)} ms`);
  }
  const said = await device.say(chat.id, "still here");
  for (const ear of staying) await ear.hears("message:new", (one) => one.id === said.id);
  await quiet(1_500);
  for (const ear of leaving) {
    assert.equal(ear.socket.connected, false, `${ear.label} should stay away`);
    assert.deepEqual(texts(ear, chat.id), [], "and hear nothing more");
  }
});

scene("a session that is revoked from elsewhere loses its sockets, too", async ({ person }) => {
  const ann = await person("ann");
  const device = await ann.device(1);
  const leaving = await device.listenOnBoth();
  const staying = await ann.listenOnBoth();
  const { sessions } = await ann.get("/auth/sessions");
  const other = sessions.find((session) => !session.current);
  const { answeredAt } = await ann.rest("DELETE", `/auth/sessions/${other.id}`, undefined, { expect: 204 });
  for (const ear of leaving) {
    const { reason, at } = await ear.gone(3_000);
    assert.equal(reason, "io server disconnect");
    assert.ok(at - answeredAt < 1_000, `within a second, not after ${Math.round(at - answeredAt)} ms`);
  }
  for (const ear of staying) assert.equal(ear.socket.connected, true, "one's own sockets stay");
});

scene("a removed member hears nothing more and cannot ask for it", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const chat = await group(ann, [ben, cid]);
  const [out, stays] = [await ben.listenOnBoth(), await cid.listenOnBoth()];
  const before = await ann.say(chat.id, "before");
  for (const ear of [...out, ...stays]) await ear.hears("message:new", (one) => one.id === before.id);

  await ann.rest("DELETE", `/chats/${chat.id}/participants/${ben.id}`, undefined, { expect: [200, 204], replica: 0 });
  const removed = Math.max(...out.map((ear) => ear.everything.length));
  const after = await ann.say(chat.id, "after", { replica: 0 });
  await ann.rest("PUT", `/messages/${before.id}`, { content: "changed" }, { expect: 200 });
  await ann.rest("POST", `/messages/${before.id}/reactions`, { emoji: "👍" }, { expect: 201 });
  const typist = await ann.listen({ replica: 1 });
  typist.emit("typing:start", { chatId: chat.id });
  for (const ear of stays) {
    await ear.hears("message:new", (one) => one.id === after.id);
    await ear.hears("message:edited");
    await ear.hears("reaction:added");
    await ear.hears("typing:start");
  }
  await quiet();
  for (const ear of out) {
    const secrets = ["after", "changed", "👍"];
    const leaked = ear.everything.filter(({ name, body }) => {
      const text = JSON.stringify(body ?? null);
      return name === "typing:start" || secrets.some((secret) => text.includes(`"${secret}"`));
    });
    assert.deepEqual(leaked, [], `${ear.label} heard ${show(leaked)} after its owner's removal (event ${removed} on)`);
  }

  // Nor by coming back, with or without a position.
  for (const positions of [undefined, { [chat.id]: 0 }, { [chat.id]: before.seq }]) {
    const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions } });
    ear.emit("chat:join", { chatId: chat.id }).emit("chat:mark-all-read", { chatId: chat.id });
    const refused = await ear.ask("message:send", { chatId: chat.id, content: "let me in" });
    assert.equal(refused.success, false);
    assert.equal(refused.code, "FORBIDDEN", "a chat that one was in is forbidden, not unknown (Q21)");
    await quiet();
    assert.deepEqual(texts(ear, chat.id), [], `nothing of the chat with positions ${show(positions)}`);
    ear.heardNo("message:edited");
    ear.heardNo("reaction:added");
  }
  await ben.get(`/chats/${chat.id}/messages`, { expect: 403 });
});

scene("who joins hears everything at once on sockets that were there before", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const chat = await group(ann, [ben]);
  const ears = await cid.listenOnBoth();
  await ann.rest("POST", `/chats/${chat.id}/participants`, { userId: cid.id }, { expect: 201, replica: 0 });
  const said = await ann.say(chat.id, "welcome", { replica: 1 });
  for (const ear of ears) {
    await ear.hears("message:new", (one) => one.id === said.id);
    await ear.hears("chat:created", (one) => (one.chat ?? one).id === chat.id);
  }
  // And out again, and in again.
  await cid.rest("POST", `/chats/${chat.id}/leave`, undefined, { expect: 204 });
  const unheard = await ann.say(chat.id, "without you");
  await ann.rest("POST", `/chats/${chat.id}/participants`, { userId: cid.id }, { expect: 201 });
  const again = await ann.say(chat.id, "welcome back");
  for (const ear of ears) {
    await ear.hears("message:new", (one) => one.id === again.id);
    ear.heardNo("message:new", (one) => one.id === unheard.id, "while away");
  }
});

scene("a new group reaches sockets that were there before", async ({ person, people }) => {
  const ann = await person("ann");
  const crowd = await people(5);
  const ears = [...(await ann.listenOnBoth()), ...(await Promise.all(crowd.map((one) => one.listenOnBoth()))).flat()];
  for (let round = 0; round < 3; round += 1) {
    const chat = await group(ann, crowd);
    // No pause between the two: the room must be there when the answer is.
    const ack = await ears[round].ask("message:send", { chatId: chat.id, content: "hello" });
    assert.equal(ack.success, true, show(ack));
    for (const ear of ears) {
      await ear.hears("message:new", (one) => one.id === ack.messageId);
      const told = (await ear.hears("chat:created", (one) => (one.chat ?? one).id === chat.id));
      assert.equal((told.chat ?? told).participants.length, 6, "chat:created should carry the chat with its participants");
    }
  }
});

scene("a new direct chat reaches sockets that were there before", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const ears = [...(await ann.listenOnBoth()), ...(await ben.listenOnBoth())];
  const chatId = await contacts(ann, ben);
  const ack = await ears[0].ask("message:send", { chatId, content: "hello" });
  for (const ear of ears) await ear.hears("message:new", (one) => one.id === ack.messageId);
});

for (const client of ["current", "oldest"]) {
  for (const transports of [["websocket"], ["polling"]]) {
    scene(`after the network was gone one is told exactly what was missed (${client} client, ${transports})`, async ({ person }) => {
      const [ann, ben] = [await person("ann"), await person("ben")];
      const chat = await group(ann, [ben]);
      const author = await ann.listen({ replica: 0 });
      const ear = await ben.listen({
        replica: 1,
        client,
        transports,
        // Long enough away to miss something.
        more: { reconnectionDelay: 1_500, randomizationFactor: 0 },
      });
      const heard = await paced(8, numbers("heard", 5), (text) => ann.say(chat.id, text));
      await ear.hears("message:new", (one) => one.id === heard.at(-1).id);
      // The server knows what arrived before the line is cut.
      for (const one of heard) await author.hears("message:delivered", (told) => told.messageId === one.id);
      ear.cut();
      await ear.gone();
      assert.notEqual(ear.disconnects.at(-1).reason, "io server disconnect");
      await pause(100);
      const missed = await paced(8, numbers("missed", 6), (text) => ann.say(chat.id, text));
      await until(() => ear.connects === 2, 10_000, `${ear.label} should have come back by itself`);
      await ear.hears("message:new", (one) => one.id === missed.at(-1).id);
      const last = await ann.say(chat.id, "last");
      await ear.hears("message:new", (one) => one.id === last.id);
      assert.deepEqual(
        texts(ear, chat.id),
        [...heard, ...missed, last].map((one) => one.content),
        "everything once, in order, though the line was cut",
      );
    });
  }
}

scene("many short cuts lose nothing", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const ear = await ben.listen({ replica: 1 });
  const going = paced(8, numbers("said", 64), (text, index) => ann.say(chat.id, text, { replica: index }));
  for (let cut = 0; cut < 6; cut += 1) {
    await pause(1_000);
    await ear.connected();
    ear.cut();
  }
  const said = await going;
  await ear.connected();
  await until(
    () => new Set(texts(ear, chat.id)).size === said.length,
    10_000,
    () => `${ear.label} should know all ${said.length} messages, and knows ${new Set(texts(ear, chat.id)).size}`,
  );
  // A message may have been on the line when it was cut: then it is told again, which the client drops by its id. Their first
  // tellings must be in order nevertheless.
  assert.deepEqual([...new Set(texts(ear, chat.id))], said.map((one) => one.content), "in order, from the first to the last");
});

scene("with positions one is told exactly what came after them", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const [one, two] = [await group(ann, [ben]), await group(ann, [ben])];
  const first = await ben.listen({ replica: 0 });
  const heard = await paced(8, numbers("heard", 5), (text) => ann.say(one.id, text));
  await first.hears("message:new", (message) => message.id === heard.at(-1).id);
  first.close();
  const missed = await paced(8, numbers("missed", 4), (text) => ann.say(one.id, text));
  const elsewhere = await ann.say(two.id, "in a chat without a position");

  // The position is older than what was delivered: as if ben's page had lost the last two.
  const positions = { [one.id]: heard[2].seq };
  const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions } });
  await ear.hears("message:new", (message) => message.id === elsewhere.id);
  const live = await ann.say(one.id, "live");
  await ear.hears("message:new", (message) => message.id === live.id);
  assert.deepEqual(
    texts(ear, one.id),
    ["heard 3", "heard 4", ...missed.map((message) => message.content), "live"],
    "what lies behind the position, once, in order, then what goes on",
  );
  assert.deepEqual(texts(ear, two.id), ["in a chat without a position"], "other chats catch up as always");
  ear.heardNo("resync");
});

scene("with the chat's own position nothing is told again", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  await paced(8, numbers("said", 3), (text) => ann.say(chat.id, text));
  const { position } = await ben.get(`/chats/${chat.id}`);
  const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions: { [chat.id]: position } } });
  const live = await ann.say(chat.id, "live");
  await ear.hears("message:new", (message) => message.id === live.id);
  assert.deepEqual(texts(ear, chat.id), ["live"], "the page that was read says how far one is");
  ear.heardNo("resync");
});

scene("positions bring back more than messages: edits, deletions, reactions, members", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  const chat = await group(ann, [ben]);
  const [one, two, three] = await paced(8, numbers("said", 3), (text) => ann.say(chat.id, text));
  const { position } = await ben.get(`/chats/${chat.id}`);
  await ann.rest("PUT", `/messages/${one.id}`, { content: "edited" }, { expect: 200 });
  const reaction = await ann.post(`/messages/${two.id}/reactions`, { emoji: "🎉" }, { expect: 201 });
  await ann.rest("DELETE", `/messages/${three.id}`, undefined, { expect: 204 });
  await ann.rest("POST", `/chats/${chat.id}/participants`, { userId: cid.id }, { expect: 201 });

  const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions: { [chat.id]: position } } });
  const live = await ann.say(chat.id, "live");
  await ear.hears("message:new", (message) => message.id === live.id);
  const interesting = ["message:edited", "reaction:added", "message:deleted", "chat:participant_added"];
  const names = ear.everything.map(({ name }) => name).filter((name) => interesting.includes(name));
  assert.deepEqual(names, interesting, "each change once, in the order in which they happened");
  assert.equal(ear.heard("message:edited")[0].content, "edited");
  assert.equal(ear.heard("reaction:added")[0].id, reaction.id);
  assert.equal(ear.heard("message:deleted")[0].messageId, three.id);
});

scene("a position that cannot be served is answered by resync, and the rest is served", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const [chat, foreign] = [await group(ann, [ben]), await group(ann, [eve])];
  const said = await ann.say(chat.id, "said");
  await ann.say(foreign.id, "not for ben");
  const nowhere = "00000000-0000-7000-8000-000000000000";
  for (const [chatId, seq] of [[chat.id, 1_000_000], [foreign.id, 1], [nowhere, 1]]) {
    const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions: { [chatId]: seq } } });
    const told = await ear.hears("resync", (one) => one.chatId === chatId);
    assert.equal(typeof told.reason, "string", show(told));
    const live = await ann.say(chat.id, `live after ${show(chatId)}`);
    await ear.hears("message:new", (one) => one.id === live.id);
    await quiet(200);
    assert.deepEqual(ear.messages(foreign.id), [], "nothing of a foreign chat");
    ear.close();
  }
  assert.ok(said.seq > 0);
});

scene("positions that are none harm nobody", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const nonsense = [
    null, "all", 7, [], [chat.id], { nonsense: 1 }, { [chat.id]: "3" }, { [chat.id]: -1 }, { [chat.id]: 1.5 }, { [chat.id]: null },
    { [chat.id]: 1e300 }, { [chat.id]: {} }, Object.fromEntries(Array.from({ length: 2_000 }, (_, index) => [`chat ${index}`, index])),
  ];
  for (const positions of nonsense) {
    const ear = await ben.listen({ replica: 1, auth: { token: ben.token, positions } });
    // What is said before belongs to what has to be read anew.
    await ear.hears("connection:success");
    const live = await ann.say(chat.id, "live");
    await ear.hears("message:new", (one) => one.id === live.id);
    ear.close();
    await pause(100);
  }
});
