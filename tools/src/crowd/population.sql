begin;

create temp table new_people (id uuid, username text) on commit drop;
copy new_people from stdin;
-- people
\.

create temp table new_chats (id uuid, owner_id uuid, first_id uuid, second_id uuid) on commit drop;
copy new_chats from stdin;
-- chats
\.

create temp table new_members (chat_id uuid, user_id uuid, role text) on commit drop;
copy new_members from stdin;
-- members
\.

-- Nobody's password has this hash: they come with tokens.
insert into users (id, username, password_hash, display_name, created_at, updated_at)
select id, username, '-', initcap(username), now(), now() from new_people;

insert into login_sessions (id, user_id, created_at, last_activity, expires_at)
select id, id, now(), now(), now() + interval '30 days' from new_people;

insert into chats (id, type, name, slug, owner_id, first_id, second_id, created_at, updated_at)
select id, case when owner_id is null then 'direct' else 'group' end,
       case when owner_id is not null then 'Group ' || left(id::text, 18) end,
       case when owner_id is not null then 'group-' || id::text end,
       owner_id, first_id, second_id, now(), now()
from new_chats;

insert into participants (id, chat_id, user_id, role, joined_at)
select gen_random_uuid(), chat_id, user_id, role, now() from new_members;

insert into contacts (id, first_id, second_id, requested_by, status, created_at, accepted_at)
select gen_random_uuid(), first_id, second_id, first_id, 'accepted', now(), now()
from new_chats where owner_id is null;

commit;

-- Or the first thousands of questions would be planned for empty tables.
analyze users, login_sessions, chats, participants, contacts;
