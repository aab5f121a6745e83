-- Copies with the same columns, checks and indexes; and one message of each of fifty chats, as a run wrote it.
create table bench_messages (like messages including all);
create table bench_events (like events including all);
create table bench_samples as
    select distinct on (m.chat_id) m.*, e.kind, e.body
    from messages m join events e on e.topic_id = m.chat_id and e.seq = m.seq
    order by m.chat_id, m.seq desc
    limit 50;
create sequence bench_places cache 50;
analyze bench_samples;
select count(*) from bench_samples;
