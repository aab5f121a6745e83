-- Searching what was said.
--
-- Asked are words in any form and parts of words of any length, down to one character, in the caller's own chats, newest first. An
-- inverted index (GIN) over trigrams costs several times what the message itself does to insert, knows nothing of texts shorter
-- than three letters, and finds what is common in everybody's chats. So we do what a person does who leafs back: messages are
-- condensed into segments of a hundred or so, and a search goes through the segments of the caller's chats from the newest back
-- until it has enough. Each has a signature that tells of most segments, without reading them, that what is looked for is not in
-- them. Segments are made a while after the messages (`search_due`), so sending costs nothing; what has not been condensed yet is
-- looked at message by message, so nothing is ever missing.

-- What is looked for, as it was typed: without markup, in lower case, white space and control characters made one space. Empty
-- for what cannot be found: system messages and what was deleted. The gateway fills it, because what lower case is depends on a
-- database's locale.
alter table messages add column search_text text;

-- The same, roughly, for whoever does not fill it: the version before this one, imports, changes that do not mention it.
create function search_text_of(content text, content_type text, deleted_at timestamptz) returns text
immutable parallel safe language sql as $$
    select case when content_type = 'system' or deleted_at is not null then '' else
        regexp_replace(lower(
            replace(replace(replace(replace(replace(regexp_replace(content, '</?(b|i|em|strong|u)>', '', 'g'),
                '&lt;', '<'), '&gt;', '>'), '&quot;', '"'), '&#39;', ''''), '&amp;', '&')
        ), '[[:space:][:cntrl:]]+', ' ', 'g') end
$$;

create function fill_search_text() returns trigger language plpgsql as $$
begin
    new.search_text := search_text_of(new.content, new.content_type, new.deleted_at);
    return new;
end $$;

create trigger messages_search_text_new before insert on messages
    for each row when (new.search_text is null) execute function fill_search_text();
create trigger messages_search_text_changed before update of content, deleted_at on messages
    for each row when (new.search_text is not distinct from old.search_text) execute function fill_search_text();

update messages set search_text = search_text_of(content, content_type, deleted_at);
alter table messages alter column search_text set not null;

-- Some of a chat's messages that follow each other, condensed. Once made they do not change, and there are no holes between them.
-- What the signatures mean is known to `features/search/rules.rs`, which makes them.
create table search_segments (
    chat_id uuid not null references chats on delete cascade,
    -- When the first and the last message in it were sent.
    first_at timestamptz not null,
    last_at timestamptz not null,
    -- Which characters are in it, and which twos and threes of them.
    grams bit(8192) not null,
    -- Which words are in it.
    stems bit(4096) not null,
    -- A line for each message. Null from when one of them was changed until the segment has been made anew: then the signatures
    -- mean nothing, and nothing remains of what was deleted.
    text text,
    -- The words in it; their positions are the numbers of the lines.
    words tsvector,
    primary key (chat_id, first_at),
    check ((text is null) = (words is null))
);

-- Signatures are together, to be looked through quickly; texts are elsewhere.
alter table search_segments
    alter column grams set storage plain, alter column stems set storage plain,
    alter column text set storage external, alter column words set storage external,
    set (toast_tuple_target = 128);

-- Chats with messages to condense, or segments to make anew.
create table search_due (
    chat_id uuid primary key references chats on delete cascade
);

create function note_search_due() returns trigger language plpgsql as $$
begin
    insert into search_due (chat_id) values (new.chat_id) on conflict do nothing;
    return null;
end $$;

-- Every 64th event of a chat, or soon after: enough to be worth it, few enough to be looked at one by one until then.
create trigger messages_search_due after insert on messages
    for each row when (new.seq % 64 = 0) execute function note_search_due();

-- What was said differently, or not at all, must not stay in its segment. Condensing holds the chat's topic while it reads, so
-- taking it here means that the segment is either seen here or will be made of what is written now.
create function forget_search_segment() returns trigger language plpgsql as $$
begin
    perform from topics where id = new.chat_id for no key update;
    update search_segments set text = null, words = null
    where chat_id = new.chat_id and last_at >= new.created_at
      and first_at = (select max(first_at) from search_segments where chat_id = new.chat_id and first_at <= new.created_at);
    if found then
        insert into search_due (chat_id) values (new.chat_id) on conflict do nothing;
    end if;
    return null;
end $$;

create trigger messages_search_changed after update of content, deleted_at, search_text on messages
    for each row when (new.search_text is distinct from old.search_text) execute function forget_search_segment();

insert into search_due (chat_id) select id from chats;
