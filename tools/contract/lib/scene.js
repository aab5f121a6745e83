// A test: people who know each other, on both replicas, and all their sockets closed at the end.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Person, unique } from "./person.js";

/**
 * @typedef {object} Cast
 * @property {(label: string, replica?: number | string) => Promise<Person>} person somebody new; replicas take turns
 * @property {(count: number, label?: string) => Promise<Person[]>} people several at once
 * @property {typeof contacts} contacts
 * @property {typeof group} group
 * @property {import("node:test").TestContext} t
 */

/**
 * @param {string} promise what the server promises, as a sentence
 * @param {(cast: Cast) => Promise<void>} act
 * @param {{timeout?: number, skip?: string | false}} [options]
 */
export function scene(promise, act, { timeout = 60_000, skip = false } = {}) {
  test(promise, { timeout, skip }, async (t) => {
    const cast = [];
    const person = async (label, replica = cast.length) => {
      const index = cast.push(undefined) - 1;
      return (cast[index] = await Person.register(label, replica));
    };
    const people = (count, label = "member") =>
      Promise.all(Array.from({ length: count }, (_, index) => person(`${label} ${index}`)));
    const ears = () => cast.flatMap((somebody) => somebody?.ears ?? []);
    try {
      await act({ person, people, contacts, group, t });
      const undocumented = ears().flatMap((ear) => ear.undocumented);
      assert.deepEqual(undocumented.slice(0, 3), [], "not what openapi/realtime.json says");
    } finally {
      for (const ear of ears()) ear.close();
    }
  });
}

/**
 * Make two people contacts.
 * @returns {Promise<string>} the id of their direct chat
 */
export async function contacts(a, b) {
  const asked = await a.post("/contacts/request", { contactId: b.id }, { expect: 201 });
  await b.post(`/contacts/${asked.request.id}/accept`, undefined, { expect: 200 });
  const chat = await a.post("/chats/direct", { contactId: b.id }, { expect: 200 });
  return chat.id;
}

/** A group, made by its owner. */
export function group(owner, members, name = `Group ${unique()}`) {
  return owner.post("/chats/group", { name, participantIds: members.map((member) => member.id) }, { expect: 201 });
}
