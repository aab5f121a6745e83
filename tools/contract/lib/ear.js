// One socket, and everything that it was told.

import assert from "node:assert/strict";

import { io as current } from "socket.io-client";
import { io as oldest } from "socket.io-client-oldest";

import { acknowledged, heard } from "./documents.js";
import { addressOf } from "./servers.js";
import { PATIENCE, show, until, within } from "./until.js";

export const CLIENTS = { current, oldest };

/** What the real client says, in its order: WebSocket first, so that polling is never tried. */
const AS_THE_REAL_CLIENT = ["websocket", "polling"];

/**
 * @typedef {object} Heard
 * @property {string} name
 * @property {any} body the first argument
 * @property {any[]} args
 * @property {number} at performance.now() of its arrival
 */

export class Ear {
  /**
   * @param {string} label for assertion messages
   * @param {object} options
   * @param {number | string} [options.replica]
   * @param {"current" | "oldest"} [options.client]
   * @param {string[]} [options.transports]
   * @param {object | undefined} options.auth
   * @param {object} [options.more] further options of the client library
   */
  constructor(label, { replica = 0, client = "current", transports = AS_THE_REAL_CLIENT, auth, more = {} }) {
    this.base = addressOf(replica);
    this.label = `${label}'s socket (${client} client, ${this.base})`;
    /** @type {Heard[]} */
    this.everything = [];
    /** @type {{reason: string, at: number}[]} */
    this.disconnects = [];
    /** @type {string[]} */
    this.refusals = [];
    this.connects = 0;
    /** What came otherwise than openapi/realtime.json says. @type {string[]} */
    this.undocumented = [];
    /** The engine's open packet. */
    this.opened = undefined;
    this.socket = CLIENTS[client](this.base, {
      auth,
      transports,
      autoConnect: false,
      forceNew: true,
      // The real client waits a second; tests have less time, and the server must not care.
      reconnectionDelay: 200,
      reconnectionDelayMax: 1_000,
      ...more,
    });
    this.socket.on("connect", () => (this.connects += 1));
    this.socket.on("disconnect", (reason) => this.disconnects.push({ reason, at: performance.now() }));
    this.socket.on("connect_error", (error) => this.refusals.push(error.message));
    this.socket.onAny((name, ...args) => {
      // A copy: the library may hand the same object to several listeners.
      this.everything.push({ name, body: args[0], args, at: performance.now() });
      this.note(heard(name, args));
    });
  }

  /** @param {string | undefined} difference */
  note(difference) {
    if (difference) this.undocumented.push(`${this.label}: ${difference}`);
  }

  /** Begin to connect. What was emitted before is sent in the moment of the connection, as the real client does it. */
  begin() {
    this.socket.connect();
    this.socket.io.engine.once("handshake", (opened) => (this.opened = opened));
    return this;
  }

  async connected(ms = PATIENCE) {
    await until(
      () => this.socket.connected,
      ms,
      () => `${this.label} should have connected; refusals: ${show(this.refusals)}, disconnects: ${show(this.disconnects)}`,
    );
    return this;
  }

  async refused(ms = PATIENCE) {
    await until(
      () => this.refusals.length > 0 || this.socket.connected,
      ms,
      `${this.label} should have been refused, but heard nothing`,
    );
    assert.equal(this.socket.connected, false, `${this.label} should have been refused, but was connected`);
    return this.refusals[0];
  }

  /**
   * @param {string} name
   * @param {(body: any) => boolean} [which]
   * @returns {any[]} the bodies of these events, in the order of their arrival
   */
  heard(name, which = () => true) {
    return this.everything.filter((event) => event.name === name && which(event.body)).map((event) => event.body);
  }

  /** Like `heard`, with the times. */
  heardAt(name, which = () => true) {
    return this.everything.filter((event) => event.name === name && which(event.body));
  }

  /** The first such event, now or soon. */
  hears(name, which = () => true, ms = PATIENCE) {
    return until(
      () => this.heard(name, which)[0],
      ms,
      () => `${this.label} should have heard this ${name}: ${which}; it heard ${this.summary()}`,
    );
  }

  /** So many such events, now or soon; more are an error, too. */
  async hearsAll(count, name, which = () => true, ms = PATIENCE) {
    await until(
      () => this.heard(name, which).length >= count,
      ms,
      () => `${this.label} should have heard ${count} times ${name} (${which}), and heard ${this.heard(name, which).length} `
        + `of them; all it heard: ${this.summary()}`,
    );
    const all = this.heard(name, which);
    assert.equal(all.length, count, `${this.label} should have heard ${name} exactly ${count} times, not ${all.length}`);
    return all;
  }

  /** Fail if it was told such a thing. */
  heardNo(name, which = () => true, why = "") {
    const those = this.heard(name, which);
    assert.equal(those.length, 0, `${this.label} should not have heard ${name} ${why}, but heard ${show(those)}`);
  }

  /** The messages of a chat in the order of their arrival. */
  messages(chatId) {
    return this.heard("message:new", (message) => message?.chatId === chatId);
  }

  emit(name, ...args) {
    this.socket.emit(name, ...args);
    return this;
  }

  /** Emit, and wait for the server's ack. */
  async ask(name, ...args) {
    const answered = new Promise((resolve) => this.socket.emit(name, ...args, resolve));
    const answer = await within(answered, PATIENCE, `${this.label} should have got an ack for ${name} ${show(args)}; it heard ${this.summary()}`);
    this.note(acknowledged(name, answer));
    return answer;
  }

  /**
   * Make this socket one that has spoken: the contract (3.4) allows a server to tell reactions only to those as long as the
   * session has one.
   */
  async speaks() {
    this.emit("presence:heartbeat");
    // No answer is promised. Commands of one socket are handled in order, so one that is answered tells when this one was.
    this.emit("chat:join", { chatId: "nowhere" });
    await this.hears("error", (error) => error?.event === "chat:join");
    return this;
  }

  /** The network is gone, and comes back when the client tries. */
  cut() {
    this.socket.io.engine.close();
  }

  async gone(ms = PATIENCE) {
    await until(() => !this.socket.connected, ms, `${this.label} should have been disconnected, and was not`);
    return this.disconnects.at(-1);
  }

  close() {
    this.socket.disconnect();
  }

  /** What it heard, for people. */
  summary() {
    const names = this.everything.slice(-30).map(({ name, body }) => `${name} ${show(body, 120)}`);
    return names.length === 0 ? "nothing" : `${this.everything.length} events, at last: ${names.join(" | ")}`;
  }
}
