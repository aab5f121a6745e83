-- Writing messages in one round trip.

-- Nobody reads the log over all topics by transaction: catching up asks for the newest places of the topics that are listened to.
drop index events_by_transaction;
alter table events drop column xid;

-- Keep new messages and what the log says of them. For each there is an entry in every array, in one order; the places come back in
-- that order. Nothing is kept, and SQLSTATE MG001 says so, if what was true when the caller looked is not true behind the locks:
-- that senders are in their chats, that they and their partners (of direct chats) may write to each other, that keys are new. What a
-- statement of a function sees is what was committed before that statement, so each looks behind the locks of those before it.
--
-- `offset 0` keeps PostgreSQL from looking through whole tables instead of looking up each row: it plans these statements once for a
-- connection, for any number of rows, and perhaps when the tables were still empty.
--
-- `bodies` are what the log says of each message, up to its place, which is only known here.
create function keep_messages(
    ids uuid[], chats uuid[], senders uuid[], partners uuid[], keys text[], contents text[], types text[], metadata text[],
    originals uuid[], search_texts text[], bodies text[], earliest timestamptz
) returns table (seq bigint, at timestamptz) language plpgsql as $$
declare
    seqs bigint[];
    times timestamptz[];
    wanted bigint;
    held bigint;
begin
    -- Contacts, in the order of their pairs.
    select count(*) into wanted from (
        select distinct least(new.sender, new.partner), greatest(new.sender, new.partner)
        from unnest(senders, partners) as new (sender, partner) where new.partner is not null
    ) as pairs;
    if wanted > 0 then
        select count(*) into held from (
            select distinct least(new.sender, new.partner) as first, greatest(new.sender, new.partner) as second
            from unnest(senders, partners) as new (sender, partner) where new.partner is not null
            order by first, second
        ) as pair cross join lateral (
            select from contacts c
            where c.first_id = pair.first and c.second_id = pair.second and c.status = 'accepted' offset 0 for share
        ) as accepted;
        if held <> wanted or exists (
            select from unnest(senders, partners) as new (sender, partner)
            where new.partner is not null and (
                exists (select from blocks b where b.blocker_id = new.sender and b.blocked_id = new.partner offset 0)
                or exists (select from blocks b where b.blocker_id = new.partner and b.blocked_id = new.sender offset 0)
            )
        ) then
            raise exception using errcode = 'MG001', message = 'somebody may not write to somebody any more';
        end if;
    end if;

    -- Places, in the order of the chats. From here on, others who want one there wait.
    with counted as (
        select chat, count(*) as count from unnest(chats) as new (chat) group by chat
    ), taken as (
        insert into topics as t (id, last_seq, last_at)
        select counted.chat, counted.count, earliest + (counted.count - 1) * interval '1 microsecond' from counted order by counted.chat
        on conflict (id) do update
        set last_seq = t.last_seq + excluded.last_seq,
            last_at = greatest(earliest, t.last_at + interval '1 microsecond') + (excluded.last_seq - 1) * interval '1 microsecond'
        returning t.id, t.last_seq, t.last_at
    ), placed as (
        select number, chat, row_number() over (partition by chat order by number desc) - 1 as back
        from unnest(chats) with ordinality as new (chat, number)
    )
    select array_agg(taken.last_seq - placed.back order by placed.number),
           array_agg(taken.last_at - placed.back * interval '1 microsecond' order by placed.number)
    into seqs, times
    from placed join taken on taken.id = placed.chat;

    -- Keys are taken in their order, so that two who use the same ones never wait for each other.
    with added as (
        insert into messages
            (id, chat_id, seq, sender_id, client_key, content, content_type, metadata, reply_to_id, created_at, search_text)
        select new.id, new.chat, new.seq, new.sender, new.key, new.content, new.type, new.metadata::json, new.original, new.at,
               new.search_text
        from unnest(ids, chats, seqs, senders, keys, contents, types, metadata, originals, times, search_texts)
             as new (id, chat, seq, sender, key, content, type, metadata, original, at, search_text)
        where exists (select from participants p where p.chat_id = new.chat and p.user_id = new.sender and p.left_at is null offset 0)
          and exists (select from chats c where c.id = new.chat and c.deleted_at is null offset 0)
        order by new.sender, new.key
        on conflict do nothing
        returning chat_id, created_at
    ), newest as (
        select chat_id, max(created_at) as at from added group by chat_id
    ), noted as (
        update chats c set last_message_at = newest.at from newest where c.id = newest.chat_id
    )
    select count(*) into held from added;
    if held <> cardinality(ids) then
        raise exception using errcode = 'MG001', message = 'somebody has left, or has used a key';
    end if;

    insert into events (topic_id, seq, at, kind, body)
    select new.chat, new.seq, new.at, 'message_sent', format(
        '%s,"createdAt":"%s","seq":%s}', new.body, to_char(new.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), new.seq
    )
    from unnest(chats, seqs, times, bodies) as new (chat, seq, at, body);

    return query select * from unnest(seqs, times);
end $$;
