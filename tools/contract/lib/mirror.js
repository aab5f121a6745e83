// What a client knows that listens and never asks: state built from events alone, to be compared with what REST answers.
//
// The events of one chat come in one order, and so do those of one person, but a chat and a person are two topics: the first message
// of a chat may arrive before the news that one is in it, and a tick before one's own message, which waits for the REST answer. The
// mirror keeps such things until it knows what they are about.

import { show } from "./until.js";

const DELETED = "[Deleted]";
const QUOTED_DELETED = "[Message Deleted]";

export class Mirror {
  /**
   * @param {import("./person.js").Person} person
   * @param {import("./ear.js").Ear} ear a socket that was there before anything happened
   */
  constructor(person, ear) {
    this.me = person.id;
    this.label = person.label;
    /** @type {Map<string, any>} */
    this.chats = new Map();
    /** Messages of chats that we have not been told of yet. */
    this.early = new Map();
    /** Ticks of messages that we have not been told of yet, by message. */
    this.earlyTicks = new Map();
    /** By the other person's id. */
    this.contacts = new Map();
    /** Requests that wait for our answer, by id. */
    this.requests = new Map();
    /** Display names by person, as the latest event told them. */
    this.names = new Map();
    /** What no order of events may lead to. */
    this.faults = [];
    ear.socket.onAny((name, body) => this.hear(name, body));
  }

  hear(name, body) {
    const apply = HEAR[name];
    if (!apply) return;
    try {
      apply.call(this, structuredClone(body));
    } catch (error) {
      this.faults.push(`${name} ${show(body)} could not be applied: ${error.message}`);
    }
  }

  /** Messages that we know, wherever they are. */
  message(id) {
    for (const chat of this.chats.values()) {
      const message = chat.messages.find((one) => one.id === id);
      if (message) return message;
    }
    return undefined;
  }

  append(chat, message) {
    if (chat.messages.some((one) => one.id === message.id)) {
      this.faults.push(`message:new came twice for ${show(message.content)}`);
      return;
    }
    const last = chat.messages.at(-1);
    if (last && !(message.seq > last.seq && message.createdAt > last.createdAt)) {
      this.faults.push(
        `message:new ${show(message.content)} (seq ${message.seq}, ${message.createdAt}) came after ${show(last.content)} `
          + `(seq ${last.seq}, ${last.createdAt})`,
      );
    }
    chat.messages.push({ ...message, audience: chat.turns });
    for (const tick of this.earlyTicks.get(message.id) ?? []) tick(chat.messages.at(-1));
    this.earlyTicks.delete(message.id);
  }

  /** Do this to a message, now or when we know it. */
  tick(id, change) {
    const message = this.message(id);
    if (message) change(message);
    else this.earlyTicks.set(id, [...(this.earlyTicks.get(id) ?? []), change]);
  }

  /** We are in this chat from now on. */
  enter(told) {
    if (this.chats.has(told.id)) return;
    const members = new Map(told.participants.map((one) => [one.userId, one.role]));
    for (const one of told.participants) this.names.set(one.userId, one.user.displayName);
    const { id, type, name, position } = told;
    // `turns` counts changes of membership: what was sent before one was sent to other people.
    const chat = { id, type, name, position, members, messages: [], turns: 0 };
    this.chats.set(id, chat);
    for (const message of this.early.get(id) ?? []) if (message.seq > position) this.append(chat, message);
    this.early.delete(id);
  }

  /**
   * What differs from what REST says, one sentence each.
   * @param {import("./person.js").Person} person
   * @returns {Promise<string[]>}
   */
  async differences(person) {
    const found = [...this.faults];
    const say = (what, fromEvents, fromRest) => {
      const [heard, asked] = [JSON.stringify(fromEvents), JSON.stringify(fromRest)];
      if (heard !== asked) found.push(`${what}: events say ${show(heard)}, REST says ${show(asked)}`);
    };

    const { chats } = await person.get("/chats?limit=100");
    say("the chats", [...this.chats.keys()].sort(), chats.map((chat) => chat.id).sort());
    for (const chat of chats) {
      const mine = this.chats.get(chat.id);
      if (!mine) continue;
      const where = chat.name ?? `direct chat ${chat.id}`;
      say(`${where}: its name`, mine.name, chat.name);
      const membersOf = (pairs) => pairs.sort(([a], [b]) => (a < b ? -1 : 1));
      say(
        `${where}: members and roles`,
        membersOf([...mine.members]),
        membersOf(chat.participants.map((one) => [one.userId, one.role])),
      );
      for (const one of chat.participants) {
        say(`${where}: the name of ${one.user.username}`, this.names.get(one.userId), one.user.displayName);
      }
      const history = (await person.history(chat.id)).filter((message) => message.seq > mine.position);
      const known = mine.messages.filter((message) => message.seq > mine.position);
      say(`${where}: the order of messages`, known.map((one) => one.content), history.map((one) => one.content));
      for (const message of history) {
        const heard = known.find((one) => one.id === message.id);
        if (!heard) {
          found.push(`${where}: events never told of ${show(message.content)}`);
          continue;
        }
        const [told, stored] = [this.essence(heard, mine), this.essence(message, mine, heard)];
        for (const field of Object.keys(stored)) say(`${where}: ${field} of ${show(message.content, 60)}`, told[field], stored[field]);
      }
    }

    const { contacts } = await person.get("/contacts");
    const contactsOf = (all) => all.map((one) => [one.contactId, one.chatId]).sort(([a], [b]) => (a < b ? -1 : 1));
    say("the contacts", contactsOf([...this.contacts.values()]), contactsOf(contacts));
    const { requests } = await person.get("/contacts/pending");
    const incoming = requests.filter((request) => request.receiverId === this.me);
    say("the requests", [...this.requests.keys()].sort(), incoming.map((request) => request.id).sort());
    return found;
  }

  /** What of a message must be the same in both. */
  essence(message, chat, heard = message) {
    const reactions = message.reactions.map((one) => [one.userId, one.emoji]).sort();
    const { id, seq, senderId, content, contentType, isEdited, isDeleted, replyToId, createdAt, metadata } = message;
    const common = { id, seq, senderId, content, contentType, isEdited, isDeleted, replyToId, createdAt, metadata, reactions };
    common.quote = message.replyTo?.content ?? null;
    // Ticks are for whoever sent the message. When members have come or gone since then, the contract does not say whether they
    // count, so then only what a client surely knows is compared.
    if (senderId === this.me && !isDeleted && heard.audience === chat.turns) {
      common.deliveryStatus = message.deliveryStatus;
      common.readCount = { total: message.readCount.total, read: message.readCount.read };
    }
    return common;
  }
}

const chatOf = (body) => body.chatId ?? body.chat?.id ?? body.id;

/** @type {Record<string, (this: Mirror, body: any) => void>} */
const HEAR = {
  "message:new"(message) {
    const chat = this.chats.get(message.chatId);
    if (chat) {
      this.append(chat, message);
    } else {
      this.early.set(message.chatId, [...(this.early.get(message.chatId) ?? []), message]);
    }
  },

  "message:edited"({ id, chatId, content, isEdited, editedAt }) {
    const message = this.message(id);
    if (message) Object.assign(message, { content, isEdited, editedAt });
    for (const one of this.chats.get(chatId)?.messages ?? []) {
      if (one.replyToId === id && one.replyTo) one.replyTo.content = content;
    }
  },

  "message:deleted"({ id, chatId, content, isDeleted, deletedAt }) {
    if (content !== DELETED) this.faults.push(`message:deleted should say ${DELETED}, and said ${show(content)}`);
    const message = this.message(id);
    if (message) {
      // What 3.10 says of a deleted message in lists.
      Object.assign(message, { content, isDeleted, deletedAt, contentType: "text", metadata: {}, reactions: [] });
    }
    for (const one of this.chats.get(chatId)?.messages ?? []) {
      if (one.replyToId === id && one.replyTo) one.replyTo.content = QUOTED_DELETED;
    }
  },

  "reaction:added"({ id, messageId, userId, emoji }) {
    const message = this.message(messageId);
    if (!message) return;
    if (message.reactions.some((one) => one.id === id)) this.faults.push(`reaction:added came twice for ${emoji}`);
    message.reactions.push({ id, userId, emoji });
  },

  "reaction:removed"({ id, reactionId, messageId }) {
    const message = this.message(messageId);
    if (!message) return;
    const left = message.reactions.filter((one) => one.id !== (reactionId ?? id));
    if (left.length === message.reactions.length) this.faults.push("reaction:removed came for a reaction nobody told of");
    message.reactions = left;
  },

  "message:delivered"({ messageId }) {
    this.tick(messageId, (message) => {
      if (message.deliveryStatus === "sent") message.deliveryStatus = "delivered";
    });
  },

  "message:read"({ messageId, readCount }) {
    this.tick(messageId, (message) => Object.assign(message, { readCount, deliveryStatus: "read" }));
  },

  "chat:created"(body) {
    this.enter(body.participants ? body : body.chat);
  },

  "chat:updated"(body) {
    const chat = this.chats.get(chatOf(body));
    if (!chat) return;
    const { name, ownerId } = body.chat ?? body;
    if (name !== undefined) chat.name = name;
    if (ownerId) giveTo(chat, ownerId);
  },

  "chat:deleted"(body) {
    this.chats.delete(chatOf(body));
  },

  "chat:participant_added"(body) {
    const chat = this.chats.get(chatOf(body));
    if (!chat || chat.members.has(body.userId)) return;
    chat.members.set(body.userId, body.participant.role);
    chat.turns += 1;
    this.names.set(body.userId, body.participant.user.displayName);
  },

  "chat:participant_removed"(body) {
    const chat = this.chats.get(chatOf(body));
    if (!chat) return;
    if (body.userId === this.me) {
      this.chats.delete(chat.id);
      return;
    }
    chat.members.delete(body.userId);
    chat.turns += 1;
    if (body.newOwnerId) giveTo(chat, body.newOwnerId);
  },

  "contact:request"(body) {
    const request = body.request ?? body;
    if (request.receiverId === this.me) this.requests.set(request.id, request);
  },

  "contact:accepted"(body) {
    const contact = body.contact ?? body;
    this.contacts.set(contact.contactId, contact);
    for (const [id, request] of this.requests) if (request.senderId === contact.contactId) this.requests.delete(id);
  },

  "contact:removed"(body) {
    this.contacts.delete(body.contactId);
  },

  "user:profile:update"({ userId, user }) {
    this.names.set(userId, user.displayName);
  },
};

function giveTo(chat, ownerId) {
  for (const [id, role] of chat.members) if (role === "owner" && id !== ownerId) chat.members.set(id, "member");
  if (chat.members.has(ownerId)) chat.members.set(ownerId, "owner");
}
