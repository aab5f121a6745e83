-- What happened, in order.
--
-- A topic is a chat or a person. Whatever changes it takes the next number under the lock of its row, so numbers are handed out
-- in the order of the commits: whoever has seen 7 has seen all up to 7. A global serial would not do: a slow transaction could
-- commit its 1 after a fast one's 2, and a reader who has seen 2 never asks for 1 again.

create table topics (
    -- The id of the chat or of the person.
    id uuid primary key,
    last_seq bigint not null,
    -- When the last event happened. Times within a topic strictly increase, so a time can serve as a cursor.
    last_at timestamptz not null
);

-- What was told about each topic. Announcements between replicas may get lost; what is written here does not.
create table events (
    topic_id uuid not null references topics on delete cascade,
    seq bigint not null,
    -- For reading everything that came since a moment, over all topics, without missing what commits late.
    xid xid8 not null default pg_current_xact_id(),
    at timestamptz not null,
    kind text not null,
    -- As clients get it, byte for byte.
    body text not null,
    primary key (topic_id, seq)
);

create index events_by_transaction on events (xid);
