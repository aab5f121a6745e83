// The existing load tool's walk, step by step: contract 4.2 and 4.3.

import assert from "node:assert/strict";

import { Ear } from "../lib/ear.js";
import { request, unique } from "../lib/person.js";
import { scene } from "../lib/scene.js";
import { BALANCER, REPLICAS } from "../lib/servers.js";
import { pause, until } from "../lib/until.js";

const USERS = 60;
const PER_SECOND = 50;
const SECONDS = 6;

scene(
  `the load tool's walk with ${USERS} users`,
  async ({ t }) => {
    // The tool knows one address. Without a balancer its users are spread by hand.
    const base = (index) => BALANCER ?? REPLICAS[index % REPLICAS.length];
    const users = await Promise.all(
      Array.from({ length: USERS }, async (_, index) => {
        const account = { username: `testuser_${index}_${unique()}`, password: "Test123!" };
        const who = account.username;
        await request(base(index), "POST", "/auth/register", {
          body: { ...account, passwordConfirm: account.password },
          who,
        });
        const { body } = await request(base(index), "POST", "/auth/login", { body: account, who });
        assert.ok(body.user.id && body.accessToken, "login should answer user.id and accessToken");
        return { id: body.user.id, token: body.accessToken, who };
      }),
    );

    const ears = users.map(({ who, token }, index) => new Ear(who, { replica: base(index), auth: { token } }).begin());
    try {
      await Promise.all(ears.map((ear) => ear.connected(10_000)));
      const { body } = await request(base(0), "POST", "/chats/group", {
        body: { name: "Load Test Group", participantIds: users.slice(1, 50).map((user) => user.id) },
        token: users[0].token,
        who: users[0].who,
      });
      const chatId = body.chat.id;
      assert.ok(chatId, "the tool reads chat.id");

      const latencies = [];
      for (const ear of ears) {
        ear.socket.on("message:new", ({ metadata }) => {
          if (metadata.sentAt) latencies.push(Date.now() - metadata.sentAt);
        });
      }
      const sentBy = Array(USERS).fill(0);
      for (let index = 0; index < PER_SECOND * SECONDS; index += 1) {
        const who = Math.floor(Math.random() * USERS);
        sentBy[who] += 1;
        ears[who].emit("message:send", { chatId, content: `Test message ${index}`, metadata: { sentAt: Date.now() } });
        await pause(1_000 / PER_SECOND);
      }

      // One message a second on average; should chance let one user exceed ten, that one is told.
      const limited = ears.slice(0, 50).flatMap((ear) => ear.heard("message:error", (one) => one.code === "RATE_LIMIT_EXCEEDED")).length;
      const byMembers = sentBy.slice(0, 50).reduce((sum, count) => sum + count, 0) - limited;
      const heard = (ear) => ear.messages(chatId).filter((one) => one.contentType !== "system").length;
      await until(
        () => ears.slice(0, 50).every((ear) => heard(ear) === byMembers),
        15_000,
        () => `every member should hear ${byMembers} messages, and they heard ${ears.slice(0, 50).map(heard)}`,
      );
      for (const [index, ear] of ears.entries()) {
        if (index < 50) continue;
        assert.equal(heard(ear), 0, "whoever is outside hears nothing");
        const refused = ear.heard("message:error", (one) => one.chatId === chatId).length;
        assert.equal(refused, sentBy[index], "and every attempt from outside is refused with message:error");
      }
      latencies.sort((a, b) => a - b);
      const at = (share) => latencies[Math.floor((latencies.length - 1) * share)];
      t.diagnostic(`${latencies.length} deliveries: median ${at(0.5)} ms, 95 % ${at(0.95)} ms, 99 % ${at(0.99)} ms`);
      for (const ear of ears) assert.deepEqual([ear.refusals, ear.disconnects], [[], []], `${ear.label} should have stayed connected`);
    } finally {
      for (const ear of ears) ear.close();
    }
  },
  { timeout: 240_000 },
);
