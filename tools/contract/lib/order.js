// Who heard what in which order, and whether everybody agrees.

import assert from "node:assert/strict";

import { show, until } from "./until.js";

/**
 * Wait until every socket has heard every one of these messages, then demand: each once, nothing else, one order for all.
 * @param {import("./ear.js").Ear[]} ears
 * @param {string} chatId
 * @param {string[]} ids the messages that were acknowledged
 * @returns {Promise<string[]>} the one order
 */
export async function oneOrder(ears, chatId, ids, ms) {
  const wanted = new Set(ids);
  assert.equal(wanted.size, ids.length, "the server acknowledged two messages with one id");
  const heardBy = (ear) => ear.messages(chatId).filter((one) => one.contentType !== "system").map((one) => one.id);
  await until(
    () => ears.every((ear) => heardBy(ear).length >= ids.length),
    ms,
    () => ears
      .map((ear) => ({ ear, missing: ids.filter((id) => !heardBy(ear).includes(id)) }))
      .filter(({ missing }) => missing.length > 0)
      .map(({ ear, missing }) => `${ear.label} still misses ${missing.length} of ${ids.length} acknowledged messages, among them `
        + `numbers ${show(missing.map((id) => heardBy(ears.find((other) => heardBy(other).includes(id)) ?? ear).indexOf(id)), 80)}, `
        + `after ${show(ear.disconnects)} disconnects`)
      .join("; "),
  );
  const reference = heardBy(ears[0]);
  for (const ear of ears) {
    const heard = heardBy(ear);
    const twice = heard.filter((id, index) => heard.indexOf(id) !== index);
    assert.deepEqual(twice, [], `${ear.label} heard messages twice: ${show(twice)}`);
    const unknown = heard.filter((id) => !wanted.has(id));
    assert.deepEqual(unknown, [], `${ear.label} heard messages that were never acknowledged: ${show(unknown)}`);
    const first = heard.findIndex((id, index) => id !== reference[index]);
    assert.equal(
      first,
      -1,
      `${ear.label} and ${ears[0].label} saw two orders, from message number ${first} on: ${heard[first]} and ${reference[first]}`,
    );
    const messages = ear.messages(chatId);
    for (let index = 1; index < messages.length; index += 1) {
      const [before, after] = [messages[index - 1], messages[index]];
      assert.ok(
        before.createdAt < after.createdAt && before.seq < after.seq,
        `createdAt and seq should grow within a chat: ${before.createdAt} (${before.seq}), then ${after.createdAt} (${after.seq})`,
      );
    }
  }
  return reference;
}
