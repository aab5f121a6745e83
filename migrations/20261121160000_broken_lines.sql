-- Connections that broke: what their people were told lately may not have reached them.

-- A person may have several connections. While one of them is away, what is said reaches the others and counts as delivered, and the one
-- that comes back would never hear of it. So a break is noted by its time, and counts for all connections that open soon after.
create table broken_lines (
    user_id uuid not null references users on delete cascade,
    -- What was said from then on is told again …
    since timestamptz not null,
    -- … to connections that open before this.
    until timestamptz not null,
    primary key (user_id, since)
);

create index broken_lines_by_end on broken_lines (until);

-- `participants.resend_seq` said the same for single chats, and only to the first connection that came back. Nobody reads it any more.
