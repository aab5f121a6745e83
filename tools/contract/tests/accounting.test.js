// Every message that was acknowledged reaches every socket of every member once, in one order.

import assert from "node:assert/strict";

import { oneOrder } from "../lib/order.js";
import { group, scene } from "../lib/scene.js";
import { HEAVY, RATE_LIMITS } from "../lib/servers.js";
import { paced, show } from "../lib/until.js";

/**
 * @param {import("../lib/scene.js").Cast} cast
 * @param {{members: number, socketsEach: number, senders: number, perSecond: number, seconds: number, refusals?: number}} plan
 *   `refusals`: which share of the sends the limit per person may refuse, where the plan comes near to it
 */
async function account({ person, people, t }, { members, socketsEach, senders, perSecond, seconds, refusals = 0 }) {
  const owner = await person("owner");
  const others = await people(members - 1);
  const everybody = [owner, ...others];
  const chat = await group(owner, others);
  // A member's sockets are on different replicas, and members begin on different ones.
  const ears = await Promise.all(
    everybody.flatMap((one, who) => Array.from({ length: socketsEach }, (_, index) => one.listen({ replica: who + index }))),
  );
  const speakers = everybody.slice(0, senders).map((_, who) => ears[who * socketsEach]);
  const each = perSecond / senders;
  assert.ok(each <= 10, "nobody may say more than ten messages a second");

  const started = performance.now();
  const delays = [];
  const answers = (
    await Promise.all(
      speakers.map((speaker, who) =>
        paced(each, Array(Math.round(each * seconds)).keys(), async (number) => {
          const asked = performance.now();
          const ack = await speaker.ask("message:send", { chatId: chat.id, content: `${who}:${number}` });
          delays.push(performance.now() - asked);
          const limited = refusals > 0 && ack.code === "RATE_LIMIT_EXCEEDED";
          assert.ok(ack.success || limited, `within the limits everything should be accepted: ${show(ack)}`);
          return ack.messageId;
        }),
      ),
    )
  ).flat();
  // What was refused must not be told to anybody: below, everything heard must have been acknowledged.
  const acks = answers.filter((id) => id !== undefined);
  const refused = answers.length - acks.length;
  assert.ok(refused <= answers.length * refusals, `of ${answers.length} messages the limit refused ${refused}`);
  const took = (performance.now() - started) / 1_000;
  delays.sort((a, b) => a - b);
  const percentile = (share) => Math.round(delays[Math.floor((delays.length - 1) * share)]);
  t.diagnostic(
    `${acks.length} messages to ${ears.length} sockets at ${Math.round(acks.length / took)}/s; acks: median ${percentile(0.5)} ms, `
      + `95 % ${percentile(0.95)} ms, 99 % ${percentile(0.99)} ms (clients and servers on one machine)`,
  );
  const order = await oneOrder(ears, chat.id, acks, 30_000);
  for (const ear of ears) assert.deepEqual(ear.disconnects, [], `${ear.label} should never have been closed`);
  const stored = (await owner.history(chat.id)).filter((one) => one.contentType !== "system").map((one) => one.id);
  assert.deepEqual(stored, order, "what REST tells is what was told live, in the same order");
}

scene(
  "50 messages a second for 10 s: 10 senders, 20 members, two sockets each, on both replicas",
  (cast) => account(cast, { members: 20, socketsEach: 2, senders: 10, perSecond: 50, seconds: 10 }),
  { timeout: 120_000 },
);

scene(
  "500 messages a second for 5 s: 60 senders, who are the members, on both replicas",
  (cast) => account(cast, { members: 60, socketsEach: 1, senders: 60, perSecond: 500, seconds: 5, refusals: RATE_LIMITS ? 0.1 : 0 }),
  { timeout: 240_000, skip: !HEAVY && "HEAVY=1 is not set" },
);
