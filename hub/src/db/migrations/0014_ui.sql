-- What an export is limited to, and what an undo is of.

-- Of an export: lessons, 16 bytes each; empty for whatever is lacking.
alter table courier_jobs add column lessons blob not null default x'';

-- What is taken back, for people: the file that was imported.
alter table timetable_undos add column title text not null default '';
-- Who did it, for people of this school.
alter table timetable_undos add column by_name text not null default '';
-- 1: it was the taking back of an import.
alter table timetable_undos add column is_undo integer not null default 0;
