// Who is there and who is writing: contract 3.7, Q35, Q36.

import assert from "node:assert/strict";

import { contacts, group, scene } from "../lib/scene.js";
import { pause, quiet, show, until } from "../lib/until.js";

const of = (person, status) => (body) => body.userId === person.id && (status === undefined || body.status === status);

async function statusSeenBy(viewer, person) {
  return (await viewer.get(`/users/${person.id}`)).status;
}

scene("contacts and one's own sockets hear of coming and going, strangers do not", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  await contacts(ann, ben);
  // A common chat does not make a contact.
  await group(ann, [eve]);
  const ears = await ben.listenOnBoth();
  const stranger = await eve.listen({ replica: 1 });

  const first = await ann.listen({ replica: 0 });
  for (const ear of ears) {
    for (const name of ["user:status", "user.status"]) {
      const told = await ear.hears(name, of(ann, "online"));
      assert.ok(!Number.isNaN(Date.parse(told.timestamp)), `${name} should carry a time: ${show(told)}`);
    }
  }
  await first.hears("user:status", of(ann, "online"));
  assert.equal(await statusSeenBy(ben, ann), "online");

  // As long as one socket is left, on whichever replica, she is there.
  const second = await ann.listen({ replica: 1 });
  first.close();
  await quiet(3_000);
  for (const ear of ears) ear.heardNo("user:status", of(ann, "offline"), "while a socket is left");
  for (const ear of ears) assert.equal(ear.heard("user:status", of(ann, "online")).length, 1, "online is told once");

  second.close();
  for (const ear of ears) {
    const told = await ear.hears("user:status", of(ann, "offline"), 6_000);
    assert.ok(Math.abs(Date.parse(told.lastSeen) - Date.now()) < 60_000, `lastSeen should be now, not ${told.lastSeen}`);
    await ear.hears("user.status", of(ann, "offline"));
  }
  assert.equal(await statusSeenBy(ben, ann), "offline");
  for (const name of ["user:status", "user.status"]) stranger.heardNo(name, of(ann), "as a stranger");
});

scene("going and coming back within a second is not told", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  await contacts(ann, ben);
  const ear = await ben.listen({ replica: 1 });
  let socket = await ann.listen({ replica: 0 });
  await ear.hears("user:status", of(ann, "online"));
  for (let round = 0; round < 3; round += 1) {
    // A change of view: the client leaves, and comes back at once, perhaps elsewhere.
    socket.close();
    await pause(300);
    socket = await ann.listen({ replica: round });
  }
  await quiet(3_000);
  assert.deepEqual(ear.heard("user:status", of(ann)).map((one) => one.status), ["online"], "nothing but the first arrival");
});

scene("a status chosen by hand survives going and coming", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  await contacts(ann, ben);
  const ear = await ben.listen({ replica: 1 });
  const socket = await ann.listen({ replica: 0 });
  await ear.hears("user:status", of(ann, "online"));
  await ann.put("/users/me", { status: "away" }, { expect: 200 });
  await ear.hears("user:status", of(ann, "away"));
  await ear.hears("user.status", of(ann, "away"));
  const before = ear.heard("user:status", of(ann, "online")).length;
  socket.close();
  await ear.hears("user:status", of(ann, "offline"), 6_000);
  await ann.listen({ replica: 1 });
  await ear.hears("user:status", () => ear.heard("user:status", of(ann, "away")).length === 2);
  assert.equal(await statusSeenBy(ben, ann), "away");
  assert.equal(ear.heard("user:status", of(ann, "online")).length, before, "she is away, and was never told to be online");
});

scene("invisible by choice stays invisible", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  await contacts(ann, ben);
  await ann.put("/users/me", { status: "offline" }, { expect: 200 });
  const ear = await ben.listen({ replica: 1 });
  await ann.listen({ replica: 0 });
  await quiet(1_500);
  ear.heardNo("user:status", of(ann, "online"), "of somebody who chose to be offline");
  assert.equal(await statusSeenBy(ben, ann), "offline");
});

scene("presence:update chooses a status, and says what is wrong with one", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  await contacts(ann, ben);
  const ear = await ben.listen({ replica: 1 });
  const socket = await ann.listen({ replica: 0 });
  socket.emit("presence:update", { status: "dancing" });
  const error = await socket.hears("presence:error");
  assert.equal(typeof error.error, "string", show(error));
  // What does not fit may have been counted; a status may be chosen once in 5 s.
  await pause(5_100);
  socket.emit("presence:update", { status: "away" });
  await ear.hears("user:status", of(ann, "away"));
  await until(async () => (await statusSeenBy(ben, ann)) === "away", 3_000, "REST should say away, too");
});

scene("whoever was removed or blocked as a contact hears no more", async ({ person }) => {
  const [ann, ben, cid] = [await person("ann"), await person("ben"), await person("cid")];
  await contacts(ann, ben);
  await contacts(ann, cid);
  const [exContact, blocked] = [await ben.listen({ replica: 1 }), await cid.listen({ replica: 1 })];
  await ann.rest("DELETE", `/contacts/${ben.id}`, undefined, { expect: 204 });
  await ann.rest("POST", `/contacts/${cid.id}/block`, undefined, { expect: 200 });
  await ann.listen({ replica: 0 });
  await quiet(1_500);
  exContact.heardNo("user:status", of(ann), "as a former contact");
  blocked.heardNo("user:status", of(ann), "as somebody blocked");
});

scene("of many key presses one typing:start in 3 s is told, and a stop 3 s after the last", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben]);
  const typist = await ann.listen({ replica: 0 });
  const [ear, second] = await ben.listenOnBoth();
  const stranger = await eve.listen({ replica: 1 });
  for (let key = 0; key < 24; key += 1) {
    typist.emit("typing:start", { chatId: chat.id });
    await pause(300);
  }
  const lastKey = performance.now() - 300;
  const stopped = await until(() => ear.heardAt("typing:stop", of(ann))[0], 6_000, "a typing:stop after the last key");
  const starts = ear.heardAt("typing:start", of(ann));
  assert.ok(starts.length >= 2 && starts.length <= 3, `7 s of typing should be told 2 or 3 times, not ${starts.length} times`);
  for (let index = 1; index < starts.length; index += 1) {
    const gap = starts[index].at - starts[index - 1].at;
    assert.ok(gap > 2_700, `between two typing:start there should be 3 s, not ${Math.round(gap)} ms`);
  }
  const after = stopped.at - lastKey;
  assert.ok(after > 2_500 && after < 4_500, `the stop should come 3 s after the last key, not ${Math.round(after)} ms`);
  const { chatId, userId, username } = starts[0].body;
  assert.deepEqual([chatId, userId, username], [chat.id, ann.id, ann.username]);
  assert.ok("displayName" in starts[0].body, "typing:start should carry displayName");
  await quiet();
  assert.equal(ear.heard("typing:stop", of(ann)).length, 1, "one stop");
  assert.equal(second.heard("typing:stop", of(ann)).length, 1, "one stop at every socket");
  typist.heardNo("typing:start", undefined, "from oneself");
  stranger.heardNo("typing:start", undefined, "as a stranger");
});

scene("typing ends by saying so, by sending, and by leaving", async ({ person }) => {
  const [ann, ben, cid, dan] = [await person("ann"), await person("ben"), await person("cid"), await person("dan")];
  const chat = await group(ann, [ben, cid, dan]);
  const ear = await dan.listen({ replica: 1 });
  const ways = [
    [ann, (socket) => socket.emit("typing:stop", { chatId: chat.id })],
    [ben, (socket) => socket.emit("message:send", { chatId: chat.id, content: "done" })],
    [cid, (socket) => socket.close()],
  ];
  for (const [somebody, end] of ways) {
    const socket = await somebody.listen({ replica: 0 });
    socket.emit("typing:start", { chatId: chat.id });
    await ear.hears("typing:start", of(somebody));
    const ended = performance.now();
    end(socket);
    const stop = await until(() => ear.heardAt("typing:stop", of(somebody))[0], 2_500, `a typing:stop by ${end}`);
    assert.ok(stop.at - ended < 2_000, `typing:stop should come at once by ${end}, not after ${stop.at - ended} ms`);
  }
  await quiet(3_500);
  assert.equal(ear.heard("typing:stop").length, 3, "each ends once");
});

scene("sending over REST ends typing, too", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const [typist, ear] = [await ann.listen({ replica: 0 }), await ben.listen({ replica: 1 })];
  typist.emit("typing:start", { chatId: chat.id });
  await ear.hears("typing:start");
  await ann.say(chat.id, "done", { replica: 0 });
  await ear.hears("typing:stop", undefined, 2_000);
});

scene("typing of strangers and former members is not told", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben, eve]);
  const [ear, outsider] = [await ben.listen({ replica: 1 }), await eve.listen({ replica: 0 })];
  await ann.rest("DELETE", `/chats/${chat.id}/participants/${eve.id}`, undefined, { expect: [200, 204] });
  outsider.emit("typing:start", { chatId: chat.id }).emit("typing:stop", { chatId: chat.id });
  await quiet(1_000);
  ear.heardNo("typing:start", of(eve), "from outside");
  ear.heardNo("typing:stop", of(eve), "from outside");
  assert.equal(outsider.socket.connected, true);
});
