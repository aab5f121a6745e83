-- From where on somebody is a recipient of what is said in a chat.

-- Whoever joins may read everything before, but was not meant by it: their place says nothing about whether it was delivered or read.
alter table participants add column joined_seq bigint not null default 0;
