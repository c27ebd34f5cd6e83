-- Several uploads that become one lesson; null where a file is a lesson by itself.
-- 16 bytes, chosen by the client; another user's group of the same number is another group.
alter table uploads add column group_id blob;
-- how many files the group has
alter table uploads add column group_files integer;
-- place of the file in its lesson, from 0
alter table uploads add column group_place integer;
-- One file at each place; also how the files of a group are found.
create unique index uploads_by_group on uploads (user_id, group_id, group_place)
    where group_id is not null;
