-- A stop of the hub counts against an import only if nothing new was durable since the stop before:
-- a sum over what was in its work folder then, 0 for nothing.
alter table jobs add column kept integer not null default 0;
-- What an import kept of a file and what it left out: JSON, a list of codes with a sentence each.
alter table jobs add column notes text not null default '[]';
