-- Images in messages, and what becomes of images that nobody refers to.

-- An uploaded image. It belongs to its uploader until a message uses it, and to that message from then on.
create table attachments (
    id uuid primary key,
    uploader_id uuid not null references users on delete cascade,
    message_id uuid references messages on delete cascade,
    -- Which of the message's images it is.
    position smallint,
    file_name text not null check (length(file_name) between 1 and 255),
    -- What is kept, which need not be what was sent.
    file_type text not null check (file_type in ('image/jpeg', 'image/png', 'image/gif', 'image/webp')),
    file_size integer not null check (file_size > 0),
    width integer not null check (width > 0),
    height integer not null check (height > 0),
    -- The keys of the three versions in the object storage. Each is random and says nothing of the others.
    original_key text not null constraint attachments_original unique,
    medium_key text not null,
    thumbnail_key text not null,
    created_at timestamptz not null,
    check ((message_id is null) = (position is null))
);

create index attachments_of_message on attachments (message_id) where message_id is not null;
create index attachments_unused on attachments (created_at) where message_id is null;
create index attachments_of_uploader on attachments (uploader_id);

-- Objects that are to be removed from the object storage once `due_at` has passed. A key is written here before its object is
-- stored, and taken out by the transaction that begins to refer to it. So whatever happens in between, nothing half-made stays.
create table blobs_to_remove (
    key text primary key,
    due_at timestamptz not null
);

create index blobs_to_remove_by_time on blobs_to_remove (due_at);

-- What stops being referred to is removed, however that comes about: by a deleted message, a new picture, an account that goes.
create function forget_attachment() returns trigger language plpgsql as $$
begin
    insert into blobs_to_remove (key, due_at)
    select key, now() from unnest(array[old.original_key, old.medium_key, old.thumbnail_key]) as key
    on conflict do nothing;
    return null;
end $$;

create trigger attachments_forgotten after delete on attachments
    for each row execute function forget_attachment();

create function forget_avatar() returns trigger language plpgsql as $$
begin
    insert into blobs_to_remove (key, due_at) values (old.avatar_key, now()) on conflict do nothing;
    return null;
end $$;

create trigger users_avatar_replaced after update of avatar_key on users
    for each row when (old.avatar_key is not null and new.avatar_key is distinct from old.avatar_key)
    execute function forget_avatar();
create trigger users_avatar_forgotten after delete on users
    for each row when (old.avatar_key is not null) execute function forget_avatar();
create trigger chats_avatar_replaced after update of avatar_key on chats
    for each row when (old.avatar_key is not null and new.avatar_key is distinct from old.avatar_key)
    execute function forget_avatar();
create trigger chats_avatar_forgotten after delete on chats
    for each row when (old.avatar_key is not null) execute function forget_avatar();
