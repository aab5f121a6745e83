-- Connections that broke: what their people were told lately may not have reached them.

-- A person may have several connections. While one of them is away, what is said reaches the others and counts as delivered, and the one
-- that comes back would never hear of it. So a break is noted, and counts for all connections that open soon after.
create table broken_lines (
    user_id uuid not null references users on delete cascade,
    -- What was said from then on is told again …
    since timestamptz not null,
    -- … except up to these places of these chats, which are known to have arrived …
    chats uuid[] not null default '{}',
    told bigint[] not null default '{}',
    -- … to connections that open before this.
    until timestamptz not null
);

create index broken_lines_by_person on broken_lines (user_id, until);
create index broken_lines_by_end on broken_lines (until);

-- `participants.resend_seq` said the same for single chats, and only to the first connection that came back. Nobody reads it any more.
