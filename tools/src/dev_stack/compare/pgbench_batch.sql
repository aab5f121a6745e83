begin;
-- Ids grow with time, as ours do; places and times are unique, as the indexes want them.
insert into bench_messages (id, chat_id, seq, sender_id, client_key, content, content_type, metadata, search_text, created_at)
select encode(overlay(uuid_send(gen_random_uuid()) placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6), 'hex')::uuid,
       chat_id, place, sender_id, place::text, content, content_type, metadata, search_text, to_timestamp(place / 1000000.0)
from (select *, nextval('bench_places') as place from bench_samples) as sample;
insert into bench_events (topic_id, seq, at, kind, body)
select chat_id, nextval('bench_places'), clock_timestamp(), kind, body from bench_samples;
commit;
