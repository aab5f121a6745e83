// The documents keep to themselves: what they show is as they describe it. That what really comes is as they describe it, all other
// tests look at (lib/ear.js, lib/person.js).

import assert from "node:assert/strict";
import { test } from "node:test";

import { acknowledged, differs, example, heard, live, placeOf, rest } from "../lib/documents.js";

test("every example of REST is as its schema says", () => {
  let count = 0;
  const check = (where, { schema, example: shown, examples = {} }) => {
    const problems = Object.values(examples).map(({ $ref }) => example($ref));
    for (const one of [shown, ...problems].filter((one) => one !== undefined)) {
      assert.equal(differs("rest", placeOf(schema), one), undefined, where);
      count += 1;
    }
  };
  for (const [path, item] of Object.entries(rest.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      for (const { content = {} } of [operation.requestBody ?? {}, ...Object.values(operation.responses)]) {
        for (const [kind, body] of Object.entries(content)) {
          if (kind !== "image/*") check(`${method} ${path} ${kind}`, body);
        }
      }
    }
  }
  assert.ok(count > 400, `only ${count} examples`);
});

test("every example of what is told, asked and answered live is as its schema says", () => {
  for (const [channel, { messages }] of Object.entries(live.channels)) {
    for (const [name, message] of Object.entries(messages)) {
      assert.ok(message.examples.length > 0, `${name} has no example`);
      for (const { payload } of message.examples) {
        const wrong = differs("live", ["channels", channel, "messages", name, "payload"], payload);
        assert.equal(wrong, undefined, `${channel} ${name}`);
      }
    }
  }
});

test("what differs is noticed", () => {
  const [{ payload }] = live.channels.told.messages["message:new"].examples;
  assert.equal(heard("message:new", [payload]), undefined);
  assert.match(heard("message:new", [{ ...payload, more: 1 }]), /more/);
  assert.match(heard("message:new", [{ ...payload, sender: { ...payload.sender, more: 1 } }]), /more/);
  assert.match(heard("message:new", [{ ...payload, seq: undefined }]), /seq/);
  assert.match(heard("message:new", [payload, 2]), /arguments/);
  assert.match(heard("message:newer", [payload]), /not described/);
  assert.match(acknowledged("message:send", { success: true }), /messageId/);
});
