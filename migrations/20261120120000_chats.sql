-- Conversations and who takes part in them.

create table chats (
    id uuid primary key,
    type text not null check (type in ('direct', 'group')),
    name text check (length(name) between 1 and 100),
    slug text constraint chats_slug unique check (length(slug) between 1 and 100),
    avatar_key text,
    owner_id uuid references users on delete set null,
    -- The pair of a direct chat, the smaller id first: one chat for each pair.
    first_id uuid references users,
    second_id uuid references users,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_message_at timestamptz,
    deleted_at timestamptz,
    constraint chats_pair unique (first_id, second_id),
    check ((type = 'group') = (name is not null)),
    check ((type = 'direct') = (first_id is not null and second_id is not null and first_id < second_id))
);

create table participants (
    id uuid primary key,
    chat_id uuid not null references chats on delete cascade,
    user_id uuid not null references users on delete cascade,
    role text not null check (role in ('owner', 'admin', 'member')),
    joined_at timestamptz not null,
    left_at timestamptz,
    -- How far this person got, as places in the chat's order. Ticks, unread counts and "read by 3 of 5" follow from the two.
    delivered_seq bigint not null default 0,
    read_seq bigint not null default 0,
    constraint participants_once unique (chat_id, user_id)
);

create index participants_of_user on participants (user_id) where left_at is null;
