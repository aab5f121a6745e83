// The chat server that a Node team would write: the official Socket.IO with its Redis adapter, and `pg`. It keeps a message before it
// acknowledges it, keeps a repeated one once, and lets only members write; it has no order across processes, no log to catch up
// from, no receipts. What it is measured for is what both do: take a message, keep it, tell everybody in the chat.
//
// It speaks to the same people in the same chats as the gateway (their rows in `users` and `participants`, the same access tokens),
// with a table of its own for messages. Every setting that is known to make such a server faster is used: WebSocket only, prepared
// statements, a pool, no compression.

import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { createAdapter } from "@socket.io/redis-adapter";
import jwt from "jsonwebtoken";
import pg from "pg";
import { createClient } from "redis";
import { Server } from "socket.io";

const { DATABASE_URL, REDIS_URL, JWT_SECRET, PORT = "0" } = process.env;
for (const [name, value] of Object.entries({ DATABASE_URL, REDIS_URL, JWT_SECRET })) {
  if (!value) {
    console.error(`Set ${name}.`);
    process.exit(2);
  }
}

const database = new pg.Pool({ connectionString: DATABASE_URL, max: 10 });
await database.query(`
  create table if not exists peer_messages (
    id uuid primary key,
    chat_id uuid not null,
    sender_id uuid not null,
    client_key text,
    content text not null,
    metadata json not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint peer_messages_client_key unique (sender_id, client_key)
  )`).catch((error) => {
  // Two processes that start at once may both find no table.
  if (error.code !== "23505" && error.code !== "42P07") throw error;
});
await database.query("create index if not exists peer_messages_by_time on peer_messages (chat_id, created_at)").catch((error) => {
  if (error.code !== "23505" && error.code !== "42P07") throw error;
});

const publisher = createClient({ url: REDIS_URL });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) {
  client.on("error", (error) => console.error(`Redis: ${error.message}`));
  await client.connect();
}

const http = createServer((request, response) => {
  response.writeHead(request.url === "/health" ? 200 : 404).end();
});
const io = new Server(http, {
  adapter: createAdapter(publisher, subscriber),
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
});

io.use(async (socket, next) => {
  try {
    const { sub } = jwt.verify(socket.handshake.auth.token, JWT_SECRET, { algorithms: ["HS256"] });
    const [person, chats] = await Promise.all([
      database.query({ name: "person", text: "select id, username, display_name from users where id = $1", values: [sub] }),
      database.query({
        name: "chats",
        text: "select chat_id, (select count(*) from participants o where o.chat_id = p.chat_id and o.left_at is null) as members " +
          "from participants p where user_id = $1 and left_at is null",
        values: [sub],
      }),
    ]);
    if (person.rows.length === 0) throw new Error("nobody");
    const [{ id, username, display_name: displayName }] = person.rows;
    socket.data.person = { id, username, displayName, avatarUrl: null };
    socket.data.chats = new Map(chats.rows.map((row) => [row.chat_id, Number(row.members)]));
    socket.join([...socket.data.chats.keys()]);
    next();
  } catch {
    next(new Error("Authentication failed"));
  }
});

const INSERT = `
  insert into peer_messages (id, chat_id, sender_id, client_key, content, metadata) values ($1, $2, $3, $4, $5, $6)
  on conflict on constraint peer_messages_client_key do nothing
  returning created_at`;
const FIRST = "select id, chat_id, content, created_at from peer_messages where sender_id = $1 and client_key = $2";

io.on("connection", (socket) => {
  const { person, chats } = socket.data;
  socket.emit("connection:success", { userId: person.id });
  socket.on("message:send", async (ask, ack) => {
    const refuse = (error) => {
      const said = { error, chatId: ask?.chatId };
      if (typeof ack === "function") ack({ success: false, ...said });
      else socket.emit("message:error", said);
    };
    const { chatId, content, metadata = {}, clientMessageId = null } = ask ?? {};
    if (!chats.has(chatId)) return refuse("There is no such chat.");
    if (typeof content !== "string" || content.length < 1 || content.length > 10_000) return refuse("Content is wrong.");
    try {
      let id = randomUUID();
      const values = [id, chatId, person.id, clientMessageId, content, metadata];
      const kept = await database.query({ name: "insert", text: INSERT, values });
      let [row] = kept.rows;
      const isNew = row !== undefined;
      if (!isNew) {
        const first = await database.query({ name: "first", text: FIRST, values: [person.id, clientMessageId] });
        [row] = first.rows;
        id = row.id;
      }
      const message = {
        id,
        chatId,
        senderId: person.id,
        sender: person,
        content,
        contentType: "text",
        metadata,
        replyToId: null,
        replyTo: null,
        isEdited: false,
        editedAt: null,
        isDeleted: false,
        deletedAt: null,
        createdAt: row.created_at,
        reactions: [],
        deliveryStatus: "sent",
        readCount: { total: chats.get(chatId) - 1, read: 0 },
        attachments: [],
      };
      if (isNew) io.to(chatId).emit("message:new", message);
      const sent = { messageId: id, chatId, timestamp: row.created_at, message };
      if (typeof ack === "function") ack({ success: true, ...sent });
      else socket.emit("message:sent", sent);
    } catch (error) {
      console.error(error.message);
      refuse("The service is temporarily unavailable. Please try again.");
    }
  });
});

http.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${http.address().port}`));
process.on("SIGTERM", () => process.exit(0));
