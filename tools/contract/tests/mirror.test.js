// State equals events: six people do what people do, and what each of them knows from events alone is what REST says afterwards.

import assert from "node:assert/strict";

import { Mirror } from "../lib/mirror.js";
import { unique } from "../lib/person.js";
import { random } from "../lib/random.js";
import { group, scene } from "../lib/scene.js";
import { pause, until } from "../lib/until.js";

const OPERATIONS = 150;
const SEED = Number(process.env.SEED ?? 20261121);
const EMOJIS = ["👍", "❤️", "🎉", "😂"];

/** What the walk itself knows to be so: enough to do only what is allowed. */
class World {
  constructor(people, chance) {
    this.people = people;
    this.chance = chance;
    /** @type {{id: string, owner: any, members: any[], messages: any[], direct?: boolean}[]} */
    this.chats = [];
    /** Pairs that are contacts, or have a request waiting. */
    this.pairs = new Map();
    this.log = [];
  }

  replica() {
    return this.chance.below(2);
  }

  pairOf(a, b) {
    return [a.id, b.id].sort().join();
  }

  chat(which = () => true) {
    const fitting = this.chats.filter((chat) => chat.members.length > 1 && which(chat));
    return fitting.length > 0 ? this.chance.pick(fitting) : undefined;
  }

  message(which) {
    const all = this.chats.flatMap((chat) => chat.messages.map((message) => ({ chat, message })));
    const fitting = all.filter(({ chat, message }) => !message.deleted && chat.members.length > 0 && which(chat, message));
    return fitting.length > 0 ? this.chance.pick(fitting) : undefined;
  }
}

/** Operations by name: each returns what was done, or nothing if there was nothing to do. `weight` says how often it is tried. */
const OPERATIONS_BY_NAME = {
  send: { weight: 30, act: (world, ears) => send(world, ears) },
  reply: {
    weight: 8,
    async act(world, ears) {
      const found = world.message((chat) => chat.members.length > 1);
      return found && send(world, ears, found.chat, found.message.id);
    },
  },
  edit: {
    weight: 12,
    async act(world, ears) {
      const found = world.message((chat, message) => chat.members.includes(message.by));
      if (!found) return undefined;
      const content = `edited ${unique()}`;
      const messageId = found.message.id;
      if (world.replica()) {
        await found.message.by.put(`/messages/${messageId}`, { content }, { expect: 200, replica: world.replica() });
      } else {
        const ear = ears.get(found.message.by)[0];
        ear.emit("message:edit", { messageId, content });
        await ear.hears("message:edited", (one) => one.content === content);
      }
      return `${found.message.by.label} edits`;
    },
  },
  delete: {
    weight: 5,
    async act(world) {
      const found = world.message((chat, message) => chat.members.includes(message.by));
      if (!found) return undefined;
      const { by, id } = found.message;
      await by.rest("DELETE", `/messages/${id}`, undefined, { expect: 204, replica: world.replica() });
      found.message.deleted = true;
      return `${by.label} deletes`;
    },
  },
  react: {
    weight: 15,
    async act(world) {
      const found = world.message(() => true);
      if (!found) return undefined;
      const by = world.chance.pick(found.chat.members);
      const emoji = world.chance.pick(EMOJIS);
      const path = `/messages/${found.message.id}/reactions`;
      const { body } = await by.rest("POST", path, { emoji }, { expect: [200, 201], replica: world.replica() });
      found.message.reactions = [...(found.message.reactions ?? []).filter((one) => one.id !== body.id), { id: body.id, by }];
      return `${by.label} reacts`;
    },
  },
  unreact: {
    weight: 6,
    async act(world) {
      const found = world.message((chat, message) => message.reactions?.some((one) => chat.members.includes(one.by)));
      if (!found) return undefined;
      const reaction = found.message.reactions.find((one) => found.chat.members.includes(one.by));
      const path = `/messages/${found.message.id}/reactions/${reaction.id}`;
      await reaction.by.rest("DELETE", path, undefined, { expect: 204, replica: world.replica() });
      found.message.reactions = found.message.reactions.filter((one) => one !== reaction);
      return `${reaction.by.label} takes a reaction back`;
    },
  },
  read: {
    weight: 15,
    async act(world, ears) {
      const found = world.message((chat) => chat.members.length > 1);
      if (!found) return undefined;
      const by = world.chance.pick(found.chat.members);
      const ear = ears.get(by)[world.replica()];
      if (world.replica()) ear.emit("message:mark-read", { messageId: found.message.id });
      else ear.emit("chat:mark-all-read", { chatId: found.chat.id });
      return `${by.label} reads`;
    },
  },
  makeGroup: {
    weight: 4,
    async act(world) {
      const owner = world.chance.pick(world.people);
      const others = world.people.filter((one) => one !== owner && world.chance.next() < 0.6);
      if (others.length === 0 || world.chats.length > 8) return undefined;
      return makeGroup(world, owner, others);
    },
  },
  rename: {
    weight: 4,
    async act(world) {
      const chat = world.chat((one) => !one.direct);
      if (!chat) return undefined;
      await chat.owner.put(`/chats/${chat.id}`, { name: `Renamed ${unique()}` }, { expect: 200, replica: world.replica() });
      return `${chat.owner.label} renames`;
    },
  },
  add: {
    weight: 6,
    async act(world) {
      const chat = world.chat((one) => !one.direct && one.members.length < world.people.length);
      if (!chat) return undefined;
      const somebody = world.chance.pick(world.people.filter((one) => !chat.members.includes(one)));
      const path = `/chats/${chat.id}/participants`;
      await chat.owner.post(path, { userId: somebody.id }, { expect: 201, replica: world.replica() });
      chat.members.push(somebody);
      return `${chat.owner.label} adds ${somebody.label}`;
    },
  },
  remove: {
    weight: 4,
    async act(world) {
      const chat = world.chat((one) => !one.direct && one.members.length > 2);
      if (!chat) return undefined;
      const somebody = world.chance.pick(chat.members.filter((one) => one !== chat.owner));
      const path = `/chats/${chat.id}/participants/${somebody.id}`;
      await chat.owner.rest("DELETE", path, undefined, { expect: [200, 204], replica: world.replica() });
      chat.members = chat.members.filter((one) => one !== somebody);
      return `${chat.owner.label} removes ${somebody.label}`;
    },
  },
  leave: {
    weight: 3,
    async act(world) {
      const chat = world.chat((one) => !one.direct && one.members.length > 2);
      if (!chat) return undefined;
      const somebody = world.chance.pick(chat.members);
      await somebody.rest("POST", `/chats/${chat.id}/leave`, undefined, { expect: 204, replica: world.replica() });
      chat.members = chat.members.filter((one) => one !== somebody);
      if (somebody === chat.owner) {
        // Who follows is the server's choice; REST says whom it chose.
        const { ownerId } = await chat.members[0].get(`/chats/${chat.id}`);
        chat.owner = chat.members.find((one) => one.id === ownerId);
      }
      return `${somebody.label} leaves`;
    },
  },
  askContact: {
    weight: 5,
    async act(world, ears, mirrors) {
      const [a, b] = [world.chance.pick(world.people), world.chance.pick(world.people)];
      if (a === b || world.pairs.has(world.pairOf(a, b))) return undefined;
      const asked = await a.post("/contacts/request", { contactId: b.id }, { expect: 201, replica: world.replica() });
      world.pairs.set(world.pairOf(a, b), { state: "pending", a, b, id: asked.request.id });
      return `${a.label} asks ${b.label}`;
    },
  },
  answerContact: {
    weight: 6,
    async act(world, ears, mirrors) {
      const waiting = [...world.pairs.values()].find((pair) => pair.state === "pending");
      if (!waiting) return undefined;
      const { a, b, id } = waiting;
      if (world.chance.next() < 0.25) {
        await b.rest("POST", `/contacts/${id}/reject`, undefined, { expect: [200, 204], replica: world.replica() });
        mirrors.get(b).requests.delete(id);
        world.pairs.delete(world.pairOf(a, b));
        return `${b.label} rejects ${a.label}`;
      }
      const answer = await b.post(`/contacts/${id}/accept`, undefined, { expect: 200, replica: world.replica() });
      // The event is promised to the other (3.6); whoever accepts knows it from the answer.
      mirrors.get(b).hear("contact:accepted", answer);
      waiting.state = "contacts";
      const chat = await b.post("/chats/direct", { contactId: a.id }, { expect: 200 });
      if (!world.chats.some((one) => one.id === chat.id)) {
        world.chats.push({ id: chat.id, owner: a, members: [a, b], messages: [], direct: true });
      }
      return `${b.label} accepts ${a.label}`;
    },
  },
  changeName: {
    weight: 3,
    async act(world) {
      const somebody = world.chance.pick(world.people);
      await somebody.put("/users/me", { displayName: `Name ${unique()}` }, { expect: 200, replica: world.replica() });
      return `${somebody.label} takes a new name`;
    },
  },
};

async function makeGroup(world, owner, others) {
  const chat = await group(owner, others);
  world.chats.push({ id: chat.id, owner, members: [owner, ...others], messages: [] });
  return `${owner.label} makes a group`;
}

async function send(world, ears, chat = world.chat(), replyToId = undefined) {
  if (!chat) return undefined;
  const by = world.chance.pick(chat.members);
  const content = `said ${unique()}`;
  const metadata = world.replica() ? { n: world.chance.below(1_000) } : {};
  let id;
  if (world.replica()) {
    id = (await by.say(chat.id, content, { metadata, replyToId, replica: world.replica() })).id;
  } else {
    const ack = await ears.get(by)[world.replica()].ask("message:send", { chatId: chat.id, content, metadata, replyToId });
    assert.equal(ack.success, true, JSON.stringify(ack));
    id = ack.messageId;
  }
  chat.messages.push({ id, by });
  return `${by.label} ${replyToId ? "replies" : "says something"}`;
}

scene(
  `after ${OPERATIONS} operations by six people on two replicas, events alone have built what REST says (SEED=${SEED})`,
  async ({ people, t }) => {
    const chance = random(SEED);
    const cast = await people(6, "person");
    const world = new World(cast, chance);
    const ears = new Map();
    const mirrors = new Map();
    for (const [index, somebody] of cast.entries()) {
      const both = [await somebody.listen({ replica: index }), await somebody.listen({ replica: index + 1 })];
      await Promise.all(both.map((ear) => ear.speaks()));
      ears.set(somebody, both);
      mirrors.set(somebody, new Mirror(somebody, both[0]));
    }
    const names = Object.entries(OPERATIONS_BY_NAME).flatMap(([name, { weight }]) => Array(weight).fill(name));
    // Something to begin with.
    await makeGroup(world, cast[0], cast.slice(1));

    let done = 0;
    for (let tries = 0; done < OPERATIONS && tries < OPERATIONS * 20; tries += 1) {
      const did = await OPERATIONS_BY_NAME[chance.pick(names)].act(world, ears, mirrors);
      if (!did) continue;
      world.log.push(did);
      done += 1;
      // Ten messages and five reactions a second are allowed to one person; chance may choose the same one all the time.
      await pause(110);
    }
    assert.equal(done, OPERATIONS, "the walk should have found enough to do");

    for (const somebody of cast) {
      const mirror = mirrors.get(somebody);
      let differences = [];
      // Ticks of the last messages may still be on their way.
      const equal = async () => (differences = await mirror.differences(somebody)).length === 0;
      for (let round = 0; round < 4 && !(await equal()); round += 1) await pause(750);
      if (differences.length > 0) {
        t.diagnostic(`the walk: ${world.log.join("; ")}`);
        assert.fail(
          `${somebody.label} (${somebody.username}) knows something else from events than REST says:\n  ${differences.slice(0, 12).join("\n  ")}`,
        );
      }
    }
    // And what one mirror never saw would not have been missed: they all saw something.
    await until(() => [...mirrors.values()].every((mirror) => mirror.names.size > 1), 1_000, "every mirror should know people");
  },
  { timeout: 180_000 },
);
