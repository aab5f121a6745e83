// Anything at all on every event: contract 3.5 (last line), Q33, Q34.

import assert from "node:assert/strict";

import { Person } from "../lib/person.js";
import { group, scene } from "../lib/scene.js";
import { pause, PATIENCE, quiet, show, until } from "../lib/until.js";

const NOWHERE = "00000000-0000-7000-8000-000000000000";

/** The error events that each event's bad payloads may be answered by, after "error" itself. */
const OWN_ERRORS = {
  "message:send": "message:error",
  "message:edit": "message:edit:error",
  "message:delete": "message:delete:error",
  "reaction:add": "reaction:error",
  "reaction:remove": "reaction:error",
  "presence:update": "presence:error",
  "message:mark-read": "message:read:error",
  "message:read": "message:read:error",
  "chat:mark-all-read": "chat:mark-all-read:error",
  "message:delivered": "error",
  "chat:join": "error",
  "chat:leave": "error",
  "typing:start": "error",
  "typing:stop": "error",
};

/** Those where each bad payload is answered. */
const STRICT = Object.keys(OWN_ERRORS).filter(
  // What comes too often is dropped without a word (5.4), and typing of strangers is ignored (3.7).
  (name) => !["typing:start", "typing:stop", "presence:update"].includes(name),
);

function deep(levels) {
  let nested = "bottom";
  for (let level = 0; level < levels; level += 1) nested = level % 2 ? [nested] : { garbage: nested };
  return { chatId: nested, messageId: nested };
}

const payloads = [
  null, "text", "", 7, -1.5, true, [], [[]], ["message:send", {}], {}, { chatId: null }, { messageId: null },
  { chatId: 7, messageId: 7, reactionId: 7, emoji: 7, status: 7, content: 7 },
  { chatId: {}, messageId: [], reactionId: {}, emoji: [], status: {}, content: {} },
  { chatId: "not a uuid", messageId: "not a uuid", reactionId: "not an id, much too long", emoji: "", status: "dancing", content: "x" },
  { chatId: NOWHERE, messageId: NOWHERE, reactionId: NOWHERE },
  { chatId: NOWHERE, content: "x", messageId: NOWHERE, reactionId: NOWHERE, emoji: "👍", metadata: "none", replyToId: 7, messageIds: "x" },
  { chatId: "\u0000", messageId: "\u0000", reactionId: "\u0000", emoji: "\u0000", status: "\u0000", content: "\u0000" },
  { chatId: "' or 1=1 --", messageId: "' or 1=1 --", reactionId: "' or 1=1 --", status: "' or 1=1 --" },
  // Parsed, because a literal would set the prototype instead of naming a field so.
  JSON.parse('{"__proto__": {"a": 1}, "constructor": {"prototype": {}}, "chatId": "__proto__", "messageId": "constructor"}'),
  deep(100),
];

for (const [index, name] of Object.keys(OWN_ERRORS).entries()) {
  scene(`nonsense on ${name} is answered, and harms nobody`, async ({ person }) => {
    const [ann, ben] = [await person("ann"), await person("ben")];
    const chat = await group(ann, [ben]);
    const target = await ann.listen({ replica: index, transports: [index % 3 === 0 ? "polling" : "websocket"] });
    const witness = await ben.listen({ replica: index + 1 });
    const answers = () => [
      ...target.heard("error", (one) => one?.event === name),
      ...(OWN_ERRORS[name] === "error" ? [] : target.heard(OWN_ERRORS[name])),
    ];
    for (const [number, payload] of payloads.entries()) {
      target.emit(name, payload);
      if (STRICT.includes(name)) {
        await until(
          () => answers().length > number,
          PATIENCE,
          () => `${name} ${show(payload, 150)} should be answered by ${OWN_ERRORS[name]} or error; heard: ${target.summary()}`,
        );
      }
      // Ten messages a second, five reactions a second.
      await pause(name.startsWith("message:send") ? 120 : name.startsWith("reaction") ? 220 : 0);
    }
    for (const answer of answers()) {
      const sentence = answer.error ?? answer.message;
      assert.equal(typeof sentence, "string", `an error should have a sentence: ${show(answer)}`);
    }
    if (STRICT.includes(name)) {
      await quiet(200);
      assert.equal(answers().length, payloads.length, `each bad ${name} is answered once: ${target.summary()}`);
    }
    // What has no name to be answered by: no payload at all, several, and bytes.
    target.emit(name).emit(name, {}, {}, {}).emit(name, undefined).emit(name, Buffer.from([0, 255, 1]));
    target.emit(name, { chatId: Buffer.from("x"), messageId: Buffer.from("x"), content: Buffer.from("x") });
    await pause(1_100);
    assert.deepEqual(target.disconnects, [], `${target.label} should have stayed connected through nonsense on ${name}`);
    const ack = await target.ask("message:send", { chatId: chat.id, content: "still fine" });
    assert.equal(ack.success, true, show(ack));
    await witness.hears("message:new", (one) => one.id === ack.messageId);
    assert.deepEqual(witness.messages(chat.id).filter((one) => one.contentType !== "system").map((one) => one.content), ["still fine"]);
  });
}

scene("message:send acks its refusals, too, whatever it is given", async ({ person }) => {
  const target = await (await person("ann")).listen({ replica: 1 });
  for (const payload of payloads) {
    const ack = await target.ask("message:send", payload);
    assert.equal(ack.success, false, `${show(payload, 150)} should have been refused: ${show(ack)}`);
    assert.equal(typeof ack.error, "string", show(ack));
    assert.ok(["VALIDATION_ERROR", "NOT_FOUND"].includes(ack.code), `for ${show(payload, 150)} the code was ${ack.code}`);
    await pause(120);
  }
  assert.deepEqual(target.disconnects, []);
});

scene("presence:update says what is wrong", async ({ person }) => {
  for (const [index, payload] of [null, "away", {}, { status: "dancing" }].entries()) {
    // Each by somebody new: choosing a status is limited to one in 5 s.
    const target = await (await person(`ann ${index}`)).listen({ replica: index });
    target.emit("presence:update", payload);
    const told = await target.hears("presence:error");
    assert.equal(typeof told.error, "string", `for ${show(payload)}: ${show(told)}`);
  }
});

scene("unknown events and heartbeats with baggage are no reason to close", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const target = await ann.listen({ replica: 0 });
  for (const name of ["no:such:event", "", " ", "message.send", "__proto__", "toString", "*", "x".repeat(5_000)]) {
    target.emit(name, { a: 1 }).emit(name);
  }
  for (const payload of payloads) target.emit("presence:heartbeat", payload);
  const ack = await target.ask("message:send", { chatId: chat.id, content: "still fine" });
  assert.equal(ack.success, true, show(ack));
  assert.deepEqual(target.disconnects, []);
});

scene("200 KB of text is too long for a message and fine for the connection", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const long = "x".repeat(200 * 1024);
  for (const transport of ["websocket", "polling"]) {
    const target = await ann.listen({ replica: 1, transports: [transport] });
    const ack = await target.ask("message:send", { chatId: chat.id, content: long });
    assert.deepEqual([ack.success, ack.code], [false, "VALIDATION_ERROR"], show(ack));
    for (const name of Object.keys(OWN_ERRORS)) {
      target.emit(name, { chatId: long, messageId: NOWHERE });
      // Several at once may exceed a packet's limit on polling, which joins them.
      await pause(150);
    }
    const after = await target.ask("message:send", { chatId: chat.id, content: `fine by ${transport}` });
    assert.equal(after.success, true, show(after));
    assert.deepEqual(target.disconnects, [], `${target.label} should have stayed`);
  }
});

scene("more than fits, and frames that are none, cost at most the connection that sent them", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const witness = await ben.listen({ replica: 0 });
  const ill = [
    (socket) => socket.emit("message:send", { chatId: chat.id, content: "x".repeat(300 * 1024) }),
    (socket) => socket.io.engine.write("9"),
    (socket) => socket.io.engine.write("2not json"),
    (socket) => socket.io.engine.write("2[]"),
    (socket) => socket.io.engine.write("2{}"),
    (socket) => socket.io.engine.write("0{}"),
    (socket) => socket.io.engine.write("2/other,[\"message:send\"]"),
    (socket) => socket.io.engine.write("3999999[1]"),
    (socket) => socket.io.engine.write("59-[\"message:send\"]"),
    (socket) => socket.io.engine.write(Buffer.alloc(1_000)),
    (socket) => socket.io.engine.write(`2${"[".repeat(50_000)}`),
  ];
  for (const [index, act] of ill.entries()) {
    const target = await ann.listen({ replica: 0, transports: [index % 2 ? "polling" : "websocket"], more: { reconnection: false } });
    act(target.socket);
    await pause(150);
    const said = await ann.say(chat.id, `after number ${index}`, { replica: 0 });
    await witness.hears("message:new", (one) => one.id === said.id);
  }
  assert.deepEqual(witness.disconnects, [], "nobody else's connection may end");
  assert.equal(witness.messages(chat.id).filter((one) => one.contentType !== "system").length, ill.length);
});

scene("a flood of nonsense from one socket delays nobody else for long", async ({ person }) => {
  const [ann, ben, eve] = [await person("ann"), await person("ben"), await person("eve")];
  const chat = await group(ann, [ben]);
  const [speaker, witness, flood] = [await ann.listen({ replica: 0 }), await ben.listen({ replica: 0 }), await eve.listen({ replica: 0 })];
  for (let index = 0; index < 2_000; index += 1) flood.emit("message:mark-read", { messageId: NOWHERE });
  for (let index = 0; index < 5; index += 1) {
    const asked = performance.now();
    const ack = await speaker.ask("message:send", { chatId: chat.id, content: `through it ${index}` });
    assert.equal(ack.success, true, show(ack));
    await witness.hears("message:new", (one) => one.id === ack.messageId);
    const took = performance.now() - asked;
    assert.ok(took < 3_000, `a message beside the flood should not take ${Math.round(took)} ms`);
  }
  // The process lives, and so do new connections.
  const late = await Person.register("late", 0);
  const ear = await late.listen({ replica: 0 });
  ear.close();
});
