-- Condensing a chat for searches held the chat's topic, so that sends to it waited, and all that shared a transaction with them. What
-- condensing must not overlap is a change of what was said before; new messages only come behind what it reads. So it now takes turns
-- with changes alone. A message that comes just then may find its chat noted as due and be too late to be condensed: then that happens
-- when the chat is due the next time, and until then the message is looked at by itself. (The topic is held beside it for the sake of replicas of the version before.)
create or replace function forget_search_segment() returns trigger language plpgsql as $$
begin
    perform from topics where id = new.chat_id for no key update;
    perform pg_advisory_xact_lock(hashtextextended('search: ' || new.chat_id::text, 0));
    update search_segments set text = null, words = null
    where chat_id = new.chat_id and last_at >= new.created_at
      and first_at = (select max(first_at) from search_segments where chat_id = new.chat_id and first_at <= new.created_at);
    if found then
        insert into search_due (chat_id) values (new.chat_id) on conflict do nothing;
    end if;
    return null;
end $$;
