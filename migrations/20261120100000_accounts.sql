-- People and their log-ins.

-- Part-of-a-word search (user names here, messages later). Trusted: the owner of the database may create it.
create extension if not exists pg_trgm;

create table users (
    id uuid primary key,
    -- Unique as written; "C" so that sorting and comparing never depend on the server's locale.
    username text collate "C" not null constraint users_username unique
        check (username ~ '^[A-Za-z0-9_]{3,50}$'),
    password_hash text not null,
    display_name text not null check (display_name <> ''),
    -- The key of the picture in the object storage; addresses are made from it when it is shown.
    avatar_key text,
    -- What the person chose to be shown as; null until they choose.
    chosen_status text check (chosen_status in ('online', 'away', 'offline')),
    last_seen timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- People are found by a part of their name in any case, and listed by name.
create index users_username_part on users using gin (lower(username) gin_trgm_ops);
create index users_username_sorted on users (lower(username) collate "C", username);

-- One row for each time somebody logged in. It ends by logging out, by being revoked, by an old refresh token turning up, or by
-- running out. Ended rows stay until a chore removes them: their tokens are still about and must be told apart from unknown ones.
create table login_sessions (
    id uuid primary key,
    user_id uuid not null references users on delete cascade,
    device_name text,
    ip_address text,
    user_agent text,
    created_at timestamptz not null,
    last_activity timestamptz not null,
    expires_at timestamptz not null,
    ended_at timestamptz,
    end_reason text check (end_reason in ('logged_out', 'revoked', 'refresh_token_reused')),
    check ((ended_at is null) = (end_reason is null))
);

create index login_sessions_of_user on login_sessions (user_id) where ended_at is null;
create index login_sessions_by_expiry on login_sessions (expires_at);
create index login_sessions_by_end on login_sessions (ended_at) where ended_at is not null;

-- Refresh tokens, as digests: whoever reads this table cannot log in. Each is replaced when it is used. The successor is kept
-- sealed with the token it replaces, so that a client which asks twice within a minute gets the same answer twice, from any
-- replica, although nobody but that client could ever read it.
create table refresh_tokens (
    digest bytea primary key check (length(digest) = 32),
    session_id uuid not null references login_sessions on delete cascade,
    issued_at timestamptz not null,
    replaced_at timestamptz,
    sealed_successor bytea check (length(sealed_successor) = 32),
    check ((replaced_at is null) = (sealed_successor is null))
);

create index refresh_tokens_of_session on refresh_tokens (session_id);
create index refresh_tokens_by_replacement on refresh_tokens (replaced_at) where replaced_at is not null;
