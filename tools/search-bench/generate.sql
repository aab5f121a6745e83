-- A million messages, always the same ones: 2,000 people, one chat with 300,000 messages, one with 100,000, 600 with 1,000.
--
-- Words follow Zipf's law (the n-th most frequent is used about 1/n as often as the first) and are made of syllables, so that
-- parts of words occur in many others, as in any language. Some messages get a needle that the questions in run.sh look for.

select setseed(0.42);
set synchronous_commit = off;

-- A thousand words that people know, and nineteen thousand more.
create temporary table words as
select rank, case
    when rank <= 40 then (string_to_array('the to and a of in is it you that for on we i be this with have are not will at can but so was what do if my all just there me your they from or when how', ' '))[rank]
    when rank <= 120 then (string_to_array('meeting run running report today tomorrow customer project release deploy server database message lunch coffee review ticket please thanks sorry think know really people work working worked update updated week morning plan planned planning call called calling house houses office friend family weekend holiday music movie train station budget invoice contract design engineer manager team question answer problem solution happy happiness restaurant password account payment delivery order market price number phone email document folder picture camera summer winter garden kitchen window', ' '))[rank - 40]
    else (select string_agg((string_to_array('ba be bi bo bu ca ce co cu da de di do du fa fe fi fo ga ge go gra ha he hi ho in ing ja jo ka ke ki la le li lo lu ma me mi mo mu na ne ni no nu pa pe pi po pra ra re ri ro ru sa se si so sta su ta te ter ti tion to tra tu un va ve vi vo wa we wi za ze zo', ' '))
                                    [1 + (hashint8(rank::int8 * 31 + n) & 2147483647) % 81], '' order by n)
          from generate_series(1, 2 + (hashint8(rank) & 2147483647) % 3) n)
    end as word
from generate_series(1, 20000) rank;
create unique index on words (rank);

insert into users (id, username, password_hash, display_name, created_at, updated_at)
select ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'user_' || n, '-', 'User ' || n, '2026-01-01', '2026-01-01'
from generate_series(1, 2000) n;

-- 1 is the largest chat, 2 the second; then 200 groups of 10 to 300 people and 400 chats of two.
create temporary table bench_chats as
select n, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid as id,
       n > 202 as is_direct,
       case n when 1 then 300000 when 2 then 100000 else 1000 end as messages,
       case when n <= 2 then 300 when n <= 202 then 10 + (n * 7) % 291 else 2 end as members
from generate_series(1, 602) n;

-- Person 1 is in the two largest and in every sixth of the others: in chats with 500,000 messages.
create temporary table bench_members as
select distinct on (n, u) n, id, ('00000000-0000-7000-8000-' || lpad(to_hex(u), 12, '0'))::uuid as user_id
from bench_chats c
cross join lateral generate_series(1, members) position
cross join lateral (select case when n <= 2 then position
                                when position = 1 and n % 6 = 3 then 1
                                else 2 + (n * 37 + position * 13) % 1999 end as u) who;

insert into chats (id, type, name, slug, first_id, second_id, created_at, updated_at)
select c.id, case when pair.first is not null then 'direct' else 'group' end,
       case when pair.first is null then 'Group ' || n end, case when pair.first is null then 'group-' || n end,
       pair.first, pair.second, '2026-01-01', '2026-01-01'
from bench_chats c
left join lateral (select (array_agg(user_id order by user_id))[1] as first, (array_agg(user_id order by user_id))[2] as second
                   from bench_members m where m.n = c.n and c.is_direct having count(*) = 2) pair on true
on conflict on constraint chats_pair do nothing;

insert into participants (id, chat_id, user_id, role, joined_at)
select gen_random_uuid(), m.id, m.user_id, 'member', '2026-01-01' from bench_members m join chats c on c.id = m.id;

-- Who says something where and when, over a year. Times within a chat differ; between chats they often do not.
create temporary table bench_messages as
select row_number() over (order by at, chat_id) as n, * from (
    select c.id as chat_id, i as seq,
           timestamptz '2025-11-01 00:00Z' + (i::float8 / c.messages) * interval '365 days' as at,
           -- Most messages are short, some are long.
           1 + floor(-ln(1 - random()) * 9)::int as length
    from bench_chats c join chats real on real.id = c.id cross join lateral generate_series(1, c.messages) i
) said;

create temporary table bench_texts as
select n, string_agg(word, ' ') as text
from (select m.n, floor(exp(random() * ln(20000)))::int as rank
      from bench_messages m cross join lateral generate_series(1, least(m.length, 150))) drawn
join words using (rank)
group by n;
create unique index on bench_texts (n);

-- Needles: as rare as most of what people look for.
update bench_texts set text = text || (array[' The R&D budget', ' 100%_done \o/', ' 🎉🎉', ' Привет, как дела?', ' 猫が好き', ' xq7', ' Zanzibar'])[n % 10007]
where n % 10007 between 1 and 7;

insert into messages (id, chat_id, seq, sender_id, content, content_type, search_text, created_at)
select (lpad(to_hex((extract(epoch from at) * 1000)::int8), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
        || substr(md5(n::text), 4, 15))::uuid,
       chat_id, seq, sender.user_id,
       replace(text, '&', '&amp;'), 'text', lower(text), at
from bench_messages join bench_texts using (n)
join (select distinct on (id) id, user_id from bench_members) sender on sender.id = chat_id
order by n;

update chats c set last_message_at = (select max(created_at) from messages m where m.chat_id = c.id);
insert into topics (id, last_seq, last_at)
select chat_id, max(seq), max(created_at) from messages group by chat_id;

-- Everybody's password is that of the person whom the script registered.
update users set password_hash = (select password_hash from users where username = 'bench') where username like 'user\_%';
analyze;
