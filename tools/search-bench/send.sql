-- What sending a message does to the database, as far as searching may matter to it.
\set n random(1, 602)
begin;
update topics set last_seq = last_seq + 1, last_at = greatest(clock_timestamp(), last_at + interval '1 microsecond')
where id = ('00000000-0000-7000-9000-' || lpad(to_hex(:n::int), 12, '0'))::uuid returning last_seq \gset
insert into messages (id, chat_id, seq, content, content_type, search_text, created_at)
select gen_random_uuid(), id, :last_seq, 'The quick brown fox jumps over the lazy dog, again and again', 'text',
       'the quick brown fox jumps over the lazy dog, again and again', last_at
from topics where id = ('00000000-0000-7000-9000-' || lpad(to_hex(:n::int), 12, '0'))::uuid;
update chats c set last_message_at = last_at from topics t
where c.id = ('00000000-0000-7000-9000-' || lpad(to_hex(:n::int), 12, '0'))::uuid and t.id = c.id;
commit;
