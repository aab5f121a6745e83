// Replacing the replicas one by one under people who talk, as a deploy does it: contract 3.12. `ROLL` is the command that does it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";

import { group, scene } from "../lib/scene.js";
import { BALANCER } from "../lib/servers.js";
import { pause, show } from "../lib/until.js";

const { ROLL } = process.env;
const KINDS = [{}, { client: "oldest" }, { transports: ["polling", "websocket"] }, { transports: ["polling"] }];
/** How long a client may take to be back: its replica leaves, and the library waits before it tries. */
const BACK = 20_000;

/** Send, and send again with the same key until somebody says that it was taken. */
async function sayForSure(who, chatId, content) {
  for (let tries = 0; ; tries += 1) {
    try {
      return await who.say(chatId, content, { clientMessageId: content.replaceAll(" ", "-"), expect: [200, 201] });
    } catch (error) {
      if (tries === 100) throw error;
      await pause(100);
    }
  }
}

scene(
  "replacing the replicas one by one costs nobody a message",
  async ({ person }) => {
    const people = [];
    for (let index = 0; index < 8; index += 1) people.push(await person(`member ${index}`, BALANCER));
    const chat = await group(people[0], people.slice(1));
    // Two sockets each, as a tab has them, of every kind.
    const both = (one, index) => [0, 1].map(async () => ({ one, ear: await one.listen(KINDS[index % KINDS.length]) }));
    const ears = await Promise.all(people.flatMap(both));
    let goesOn = true;
    // Not its output: the replicas that it starts inherit that, and would keep us waiting.
    const rolled = once(spawn(ROLL, { shell: true, stdio: "ignore" }), "exit").finally(() => (goesOn = false));
    const said = [];
    while (goesOn || said.length < 50) {
      const who = people[said.length % people.length];
      said.push(await sayForSure(who, chat.id, `number ${said.length}`));
      await pause(30);
    }
    assert.deepEqual(await rolled, [0, null], "the replicas should have been replaced");
    for (const { ear } of ears) await ear.connected(BACK);
    const last = await sayForSure(people[0], chat.id, "the last one");
    for (const { one, ear } of ears) {
      await ear.hears("message:new", (message) => message.id === last.id, BACK);
      const ids = ear.messages(chat.id).filter(({ senderId }) => senderId && senderId !== one.id).map(({ id }) => id);
      const wanted = [...said, last].filter(({ senderId }) => senderId !== one.id).map(({ id }) => id);
      // As the client does it: what it has already, it drops.
      assert.deepEqual([...new Set(ids)], wanted, `${ear.label} should have got everything, once, in order`);
    }
    const gone = ears.flatMap(({ ear }) => ear.disconnects);
    assert.ok(gone.length >= ears.length, `every socket had to move, and ${gone.length} of ${ears.length} did`);
    const sentAway = gone.filter(({ reason }) => reason === "io server disconnect");
    assert.deepEqual(sentAway, [], "nobody may be told not to come back");
    console.log(`${said.length} messages, ${gone.length} moves, over ${show(spans(gone.map(({ at }) => at)))} ms`);
    for (const span of spans(gone.map(({ at }) => at))) {
      assert.ok(span > 300, `clients of one replica should not all leave at once, but did within ${span} ms`);
    }
  },
  { timeout: 180_000, skip: !ROLL && "ROLL is not set" },
);

/** Two replicas left, one after the other: over how many milliseconds did the clients of each go? */
function spans(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const gaps = sorted.slice(1).map((at, index) => at - sorted[index]);
  const middle = gaps.indexOf(Math.max(...gaps)) + 1;
  const span = (part) => Math.round(part.at(-1) - part[0]);
  return [span(sorted.slice(0, middle)), span(sorted.slice(middle))];
}
