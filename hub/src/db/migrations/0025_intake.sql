-- A stop of the hub counts against an import only if nothing new was durable since the stop before:
-- a sum over what was in its work folder then, 0 for nothing.
alter table jobs add column kept integer not null default 0;
