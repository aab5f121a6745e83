-- Messages.

create table messages (
    id uuid primary key,
    chat_id uuid not null references chats on delete cascade,
    -- The place in the chat's order: the number of the event that announced the message.
    seq bigint not null,
    -- Null for what the system says, and once the sender's account is gone.
    sender_id uuid references users on delete set null,
    -- A key of the client's choice, so that a repeated send is one message, for ever.
    client_key text check (length(client_key) between 1 and 128),
    -- Harmless HTML: made so before it gets here.
    content text not null,
    content_type text not null check (content_type in ('text', 'image', 'system')),
    -- The client's, returned untouched: therefore json and not jsonb, which rewrites numbers and orders keys.
    metadata json not null default '{}',
    reply_to_id uuid references messages,
    edited_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null,
    constraint messages_order unique (chat_id, seq),
    constraint messages_client_key unique (sender_id, client_key)
);

-- Clients page by time, which is unique within a chat (see topics.last_at).
create unique index messages_by_time on messages (chat_id, created_at);
