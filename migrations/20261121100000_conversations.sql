-- What makes chats of lists of messages: edits, reactions, catching up, and being left alone.

-- What a message said before. Gone, like the rest of its text, when the message is deleted.
create table message_edits (
    message_id uuid not null references messages on delete cascade,
    -- The place of the event that announced the edit: the log holds a copy of the text there.
    seq bigint not null,
    content text not null,
    edited_at timestamptz not null,
    primary key (message_id, seq)
);

create table reactions (
    id uuid primary key,
    message_id uuid not null references messages on delete cascade,
    user_id uuid not null references users on delete cascade,
    emoji text not null check (length(emoji) between 1 and 10),
    created_at timestamptz not null,
    constraint reactions_once unique (message_id, user_id, emoji)
);

-- Deleting a message must find the copies of its text in the replies to it.
create index messages_by_original on messages (reply_to_id) where reply_to_id is not null;

-- Catching up begins behind `delivered_seq`, or here if a connection broke before we could know what arrived: what is told twice
-- is dropped by its id, what is told once too rarely is missing.
alter table participants add column resend_seq bigint;

-- Who does not want to hear from whom. Says nothing about whether they are contacts: an accepted relation returns on unblocking.
create table blocks (
    blocker_id uuid not null references users on delete cascade,
    blocked_id uuid not null references users on delete cascade,
    created_at timestamptz not null,
    primary key (blocker_id, blocked_id),
    check (blocker_id <> blocked_id)
);

create index blocks_of_blocked on blocks (blocked_id);
