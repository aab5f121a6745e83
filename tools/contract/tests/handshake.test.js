// How a socket comes to be: contract 3.1 to 3.4.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CLIENTS } from "../lib/ear.js";
import { Person, request } from "../lib/person.js";
import { group, scene } from "../lib/scene.js";
import { BALANCER, REPLICAS, SHORT_TTL_REPLICA } from "../lib/servers.js";
import { paced, pause, until } from "../lib/until.js";

const PAGE = "http://localhost:5173";

scene("a socket without a token is refused with the text for it", async ({ person }) => {
  const ann = await person("ann");
  for (const client of Object.keys(CLIENTS)) {
    for (const auth of [undefined, {}, { token: "" }, { token: null }]) {
      const ear = ann.ear({ auth, client }).begin();
      assert.equal(await ear.refused(), "Authentication token required", `auth ${JSON.stringify(auth)}, ${client} client`);
    }
  }
});

scene("a token that is none is refused with the text for it", async ({ person }) => {
  const ann = await person("ann");
  // The signature's first character and not its last: of that one not every bit counts.
  const [head, claims, signature] = ann.token.split(".");
  const forged = [head, claims, (signature.startsWith("A") ? "B" : "A") + signature.slice(1)].join(".");
  const unsigned = [Buffer.from('{"alg":"none"}').toString("base64url"), claims, ""].join(".");
  for (const token of ["nonsense", "a.b.c", forged, unsigned, ann.refreshToken, "x".repeat(20_000)]) {
    for (const replica of [0, 1]) {
      const ear = ann.ear({ auth: { token }, replica }).begin();
      assert.equal(await ear.refused(), "Authentication failed", `token ${token.slice(0, 40)}…`);
    }
  }
});

scene("the token of an ended session is refused on every replica within a second", async ({ person }) => {
  const ann = await person("ann");
  await ann.rest("POST", "/auth/logout", undefined, { expect: 204 });
  for (const replica of [0, 1]) {
    await until(
      async () => {
        const ear = ann.ear({ replica }).begin();
        await until(() => ear.refusals.length > 0 || ear.socket.connected, 5_000, "an answer to the handshake");
        return ear.refusals[0] === "Invalid or expired session";
      },
      1_200,
      () => `the handshake should be refused with "Invalid or expired session"; refusals: ${JSON.stringify(
        ann.ears.map((ear) => ear.refusals[0] ?? "none, it was connected"))}`,
    );
  }
});

scene("after a refusal the library does not try again, and a good token helps", async ({ person }) => {
  const ann = await person("ann");
  const ear = ann.ear({ auth: { token: "nonsense" } }).begin();
  await ear.refused();
  ear.socket.auth = { token: ann.token };
  ear.socket.connect();
  await ear.connected();
});

scene(
  "an expired access token opens a socket as long as its login session lives",
  async ({ person }) => {
    const ann = await person("ann", SHORT_TTL_REPLICA);
    assert.ok(ann.expiresIn <= 30, `SHORT_TTL_REPLICA should give tokens for 30 s at most, and gives them for ${ann.expiresIn} s`);
    await until(
      // A request a second: more would meet the limit before the token expires.
      async () => (await pause(1_000), (await ann.rest("GET", "/users/me", undefined, { expect: [200, 401] })).status === 401),
      (ann.expiresIn + 60) * 1_000,
      "the access token should have expired",
    );
    const ear = await ann.listen();
    await ear.hears("connection:success", (body) => body.userId === ann.id);
    // The session ends all the same.
    const fresh = await ann.post("/auth/refresh", { refreshToken: ann.refreshToken }, { expect: 200 });
    const old = ann.token;
    ann.token = fresh.accessToken;
    await ann.rest("POST", "/auth/logout", undefined, { expect: 204 });
    assert.equal((await ear.gone()).reason, "io server disconnect");
    const late = ann.ear({ auth: { token: old } }).begin();
    assert.equal(await late.refused(), "Invalid or expired session");
  },
  {
    timeout: 150_000,
    skip: !SHORT_TTL_REPLICA && "SHORT_TTL_REPLICA is not set: no replica whose tokens expire while a test can wait",
  },
);

scene("a new socket is told whose it is", async ({ person }) => {
  const ann = await person("ann");
  for (const replica of [0, 1]) {
    const ear = await ann.listen({ replica });
    const told = await ear.hears("connection:success");
    assert.equal(told.userId, ann.id, "connection:success should say the person's id");
    assert.ok(!Number.isNaN(Date.parse(told.timestamp)), `connection:success should carry a time, not ${told.timestamp}`);
  }
});

scene("what a client emits in the moment of its connection is handled", async ({ person, people }) => {
  const ann = await person("ann");
  const [ben] = await people(1, "ben");
  const chat = await group(ann, [ben]);
  const author = await ann.listen({ replica: 0 });
  // Several times: whether handlers are there in time is a race.
  for (let round = 1; round <= 8; round += 1) {
    const said = await ann.say(chat.id, `round ${round}`);
    const reader = ben.ear({ replica: round % 2 });
    reader.emit("chat:mark-all-read", { chatId: chat.id }).begin();
    const read = await author.hears("message:read", (one) => one.messageId === said.id);
    assert.equal(read.readBy, ben.id);
    reader.close();
  }
  const typist = ben.ear({ replica: 1 });
  typist.emit("typing:start", { chatId: chat.id }).begin();
  await author.hears("typing:start", (one) => one.userId === ben.id && one.chatId === chat.id);
});

for (const client of Object.keys(CLIENTS)) {
  const transports = { "polling only": ["polling"], "WebSocket only": ["websocket"], "WebSocket first": ["websocket", "polling"] };
  for (const [name, list] of Object.entries(transports)) {
    scene(`messages go both ways by ${name} (${client} client)`, async ({ person }) => {
      const [ann, ben] = [await person("ann"), await person("ben")];
      const chat = await group(ann, [ben]);
      const here = await ann.listen({ replica: 0, client, transports: list });
      const there = await ben.listen({ replica: 1, client, transports: list });
      for (const ear of [here, there]) {
        assert.equal(ear.socket.io.engine.transport.name, list[0], `${ear.label} should be on ${list[0]}`);
      }
      const sent = await here.ask("message:send", { chatId: chat.id, content: "Hello, Ben" });
      assert.equal(sent.success, true, JSON.stringify(sent));
      const heard = await there.hears("message:new", (one) => one.id === sent.messageId);
      assert.equal(heard.content, "Hello, Ben");
      // Longer than one packet of any buffer, and not only ASCII.
      const long = "Žluťoučký kůň 👩‍👩‍👧 ".repeat(300).trim();
      const answer = await there.ask("message:send", { chatId: chat.id, content: long });
      assert.equal(answer.success, true, JSON.stringify(answer));
      assert.equal((await here.hears("message:new", (one) => one.id === answer.messageId)).content, long);
    });
  }

  scene(`nothing is lost or doubled while polling becomes a WebSocket (${client} client)`, async ({ person }) => {
    const [ann, ben] = [await person("ann"), await person("ben")];
    const chat = await group(ann, [ben]);
    const speaker = await ann.listen({ replica: 0 });
    for (let round = 1; round <= 4; round += 1) {
      const listener = ben.ear({ replica: 1, client, transports: ["polling", "websocket"] }).begin();
      const texts = Array.from({ length: 12 }, (_, index) => `round ${round}, number ${index}`);
      await listener.connected();
      await paced(8, texts, (content) => speaker.ask("message:send", { chatId: chat.id, content }));
      await until(() => listener.socket.io.engine.transport.name === "websocket", 5_000, "the upgrade to WebSocket");
      await listener.hears("message:new", (one) => one.content === texts.at(-1));
      assert.deepEqual(
        listener.messages(chat.id).map((one) => one.content).filter((text) => text.startsWith(`round ${round},`)),
        texts,
        "every message of the round once, in order",
      );
      listener.close();
    }
  });

  scene(
    `the balancer serves polling and WebSocket (${client} client)`,
    async ({ person }) => {
      const [ann, ben] = [await person("ann", BALANCER), await person("ben", BALANCER)];
      const chat = await group(ann, [ben]);
      for (const list of [["polling"], ["polling", "websocket"], ["websocket"]]) {
        const [here, there] = [await ann.listen({ client, transports: list }), await ben.listen({ client, transports: list })];
        const sent = await here.ask("message:send", { chatId: chat.id, content: `by ${list}` });
        assert.equal(sent.success, true, JSON.stringify(sent));
        await there.hears("message:new", (one) => one.id === sent.messageId);
        here.close();
        there.close();
      }
    },
    { skip: !BALANCER && "BALANCER is not set" },
  );
}

scene("a login session may hold ten sockets, and each hears everything once", async ({ person }) => {
  const [ann, ben] = [await person("ann"), await person("ben")];
  const chat = await group(ann, [ben]);
  const ears = await Promise.all(Array.from({ length: 10 }, (_, index) => ben.listen({ replica: index })));
  const said = await ann.say(chat.id, "to all ten");
  for (const ear of ears) await ear.hears("message:new", (one) => one.id === said.id);
  const last = await ann.say(chat.id, "and again");
  for (const ear of ears) {
    await ear.hears("message:new", (one) => one.id === last.id);
    assert.deepEqual(ear.messages(chat.id).map((one) => one.id), [said.id, last.id], `${ear.label}: each once, in order`);
    assert.equal(ear.socket.connected, true, "none of the ten may have been closed");
  }
});

test("the open packet says when to ping and how much fits, on both transports", async () => {
  const ann = await Person.register("ann");
  for (const base of REPLICAS) {
    const answer = await request(base, "GET", "/socket.io/?EIO=4&transport=polling", { expect: 200 });
    assert.match(answer.raw, /^0\{/, "the first packet of a session should be an open packet");
    const opened = JSON.parse(answer.raw.slice(1));
    const { pingInterval, pingTimeout, maxPayload, upgrades } = opened;
    const wanted = { pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 262_144, upgrades: ["websocket"] };
    assert.deepEqual({ pingInterval, pingTimeout, maxPayload, upgrades }, wanted);
    assert.equal(typeof opened.sid, "string");

    const ear = await ann.listen({ replica: base, transports: ["websocket"] });
    const overWebSocket = ear.opened;
    ear.close();
    assert.equal(overWebSocket.pingInterval, 25_000);
    assert.equal(overWebSocket.pingTimeout, 20_000);
    assert.equal(overWebSocket.maxPayload, 262_144);
    assert.deepEqual(overWebSocket.upgrades, []);
  }
});

test("bad handshakes get the bodies that Engine.IO clients know", async () => {
  const bad = [
    ["/socket.io/?EIO=4&transport=carrier-pigeon", { code: 0, message: "Transport unknown" }],
    ["/socket.io/?EIO=4", { code: 0, message: "Transport unknown" }],
    ["/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", { code: 1, message: "Session ID unknown" }],
    ["/socket.io/?EIO=3&transport=polling", { code: 5, message: "Unsupported protocol version" }],
  ];
  for (const base of REPLICAS) {
    for (const [path, body] of bad) {
      const answer = await request(base, "GET", path, { expect: 400 });
      assert.deepEqual(answer.body, body, `the body for ${path}, which was ${answer.raw}`);
    }
  }
});

test("answers to polling may be read by the pages that are allowed, and by no others", async () => {
  for (const base of REPLICAS) {
    const path = "/socket.io/?EIO=4&transport=polling";
    const allowed = await request(base, "GET", path, { expect: 200, headers: { origin: PAGE } });
    assert.equal(allowed.headers["access-control-allow-origin"], PAGE, "the page's own origin should be echoed");
    assert.match(allowed.headers.vary ?? "", /origin/i, "the answer should vary by Origin");
    const refused = await request(base, "GET", "/socket.io/?EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", {
      expect: 400,
      headers: { origin: PAGE },
    });
    assert.equal(refused.headers["access-control-allow-origin"], PAGE, "also when the session is unknown");
    const stranger = await request(base, "GET", path, { headers: { origin: "http://evil.example" }, expect: [200, 400, 403] });
    assert.notEqual(stranger.headers["access-control-allow-origin"], "http://evil.example");
    assert.notEqual(stranger.headers["access-control-allow-origin"], "*");
  }
});
