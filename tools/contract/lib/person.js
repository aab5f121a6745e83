// Somebody who uses the system, on one device.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";

import { answered } from "./documents.js";
import { Ear } from "./ear.js";
import { addressOf } from "./servers.js";
import { pause, show } from "./until.js";

const PASSWORD = "Wonderland1";
const agent = new http.Agent({ keepAlive: true });

/** @returns {string} what no other test and no run before this one has used */
export const unique = () => randomBytes(6).toString("hex");

export class Person {
  /**
   * @param {string} label for assertion messages
   * @param {number | string} replica where this person's requests go unless they say otherwise
   * @param {any} loggedIn the answer of register or login
   */
  constructor(label, replica, loggedIn) {
    this.label = label;
    this.replica = replica;
    this.become(loggedIn);
    /** @type {Ear[]} */
    this.ears = [];
    this.nextTurn = 0;
  }

  /** @param {any} loggedIn */
  become(loggedIn) {
    this.token = loggedIn.accessToken;
    this.refreshToken = loggedIn.refreshToken;
    this.expiresIn = loggedIn.expiresIn;
    this.id = loggedIn.user.id;
    this.username = loggedIn.user.username;
  }

  static async register(label, replica = 0) {
    const username = `t_${unique()}`;
    const body = { username, password: PASSWORD, passwordConfirm: PASSWORD };
    const answer = await request(addressOf(replica), "POST", "/auth/register", { body, expect: 201, who: label });
    return new Person(label, replica, answer.body);
  }

  /** The same person on another device: another login session. */
  async device(replica = this.replica) {
    const body = { username: this.username, password: PASSWORD };
    const answer = await request(addressOf(replica), "POST", "/auth/login", { body, expect: 200, who: this.label });
    const twin = new Person(`${this.label}'s other device`, replica, answer.body);
    // Closed together with the first one's.
    twin.ears = this.ears;
    return twin;
  }

  /**
   * @param {string} method
   * @param {string} path below /api
   * @param {any} [body]
   * @param {{expect?: number | number[], replica?: number | string, headers?: object}} [options]
   */
  rest(method, path, body, { expect, replica = this.replica, headers = {}, raw } = {}) {
    const who = this.label;
    return request(addressOf(replica), method, path, { body, raw, expect, headers, who, token: this.token });
  }

  async get(path, options) {
    return (await this.rest("GET", path, undefined, options)).body;
  }

  async post(path, body, options) {
    return (await this.rest("POST", path, body, options)).body;
  }

  async put(path, body, options) {
    return (await this.rest("PUT", path, body, options)).body;
  }

  async delete(path, options) {
    return (await this.rest("DELETE", path, undefined, options)).body;
  }

  /** Upload files, as a browser does: all in fields of one name. */
  async upload(files, { field = "image", path = "/attachments/upload", method = "POST", ...options } = {}) {
    const form = new FormData();
    for (const [name, bytes] of Object.entries(files)) form.append(field, new Blob([bytes]), name);
    const encoded = new Response(form);
    const raw = Buffer.from(await encoded.arrayBuffer());
    const headers = { "content-type": encoded.headers.get("content-type") };
    return (await this.rest(method, path, undefined, { expect: 201, headers, raw, ...options })).body;
  }

  /** Send a message over REST, when it is this person's turn: ten in a second is what one may. */
  async say(chatId, content, { metadata, replyToId, clientMessageId, ...options } = {}) {
    const now = performance.now();
    const turn = Math.max(now, this.nextTurn);
    this.nextTurn = turn + 115;
    if (turn > now) await pause(turn - now);
    const body = { content, contentType: "text", metadata: metadata ?? {}, replyToId, clientMessageId };
    return this.post(`/chats/${chatId}/messages`, body, { expect: 201, ...options });
  }

  /** All messages of a chat as REST tells them, the oldest first. */
  async history(chatId, options) {
    const messages = [];
    let cursor;
    do {
      const query = cursor ? `?limit=100&cursor=${encodeURIComponent(cursor)}` : "?limit=100";
      const page = await this.get(`/chats/${chatId}/messages${query}`, options);
      messages.unshift(...page.data);
      cursor = page.hasMore ? page.nextCursor : undefined;
    } while (cursor);
    return messages;
  }

  /** A socket that is about to connect. */
  ear(options = {}) {
    const ear = new Ear(this.label, { auth: { token: this.token }, replica: this.replica, ...options });
    this.ears.push(ear);
    return ear;
  }

  /** A connected socket. */
  listen(options) {
    return this.ear(options).begin().connected();
  }

  /** Two sockets of this login, one on each replica. */
  listenOnBoth(options) {
    return Promise.all([this.listen({ ...options, replica: 0 }), this.listen({ ...options, replica: 1 })]);
  }
}

/**
 * One request, its status checked. `answeredAt` is when the last byte of the answer had arrived.
 *
 * Not `fetch`: between the arrival of an answer and the moment when `fetch` tells of it lie several turns of the event loop, and
 * what overtakes what is a thing that tests look at.
 */
export async function request(base, method, path, { body, raw, expect, headers = {}, who = "somebody", token } = {}) {
  const isWhole = ["/socket.io", "/health", "/media/"].some((start) => path.startsWith(start));
  const url = new URL(isWhole ? path : `/api${path}`, base);
  const text = body === undefined ? undefined : JSON.stringify(body);
  const answer = await new Promise((resolve, reject) => {
    const outgoing = http.request(url, {
      method,
      agent,
      timeout: 120_000,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(raw && { "content-length": raw.length }),
        ...(text !== undefined && { "content-type": "application/json", "content-length": Buffer.byteLength(text) }),
        ...headers,
      },
    });
    outgoing.on("error", (error) => reject(new Error(`${who}: ${method} ${url}: ${error.message}`)));
    outgoing.on("timeout", () => outgoing.destroy(new Error("no answer within two minutes")));
    outgoing.on("response", (incoming) => {
      const chunks = [];
      incoming.on("data", (chunk) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const answeredAt = performance.now();
        const bytes = Buffer.concat(chunks);
        resolve({ status: incoming.statusCode, headers: incoming.headers, bytes, raw: bytes.toString(), answeredAt });
      });
    });
    outgoing.end(raw ?? text);
  });
  answer.body = parse(answer.raw);
  const difference = answered(method, url, answer);
  assert.equal(difference, undefined, `${who}: ${method} ${url}: not what openapi/gateway.json says`);
  const wanted = expect === undefined ? undefined : [expect].flat();
  const fine = wanted ? wanted.includes(answer.status) : answer.status >= 200 && answer.status < 300;
  assert.ok(
    fine,
    `${who}: ${method} ${url} ${text ? show(text, 200) : ""}: expected ${wanted?.join(" or ") ?? "2xx"}, `
      + `got ${answer.status} ${show(answer.raw)}`,
  );
  return answer;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
