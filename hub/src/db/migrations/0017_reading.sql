-- When the reading of a blob began that is under way or was the last: what it says is as old as that.
alter table blob_checks add column begun_at_ms integer not null default 0; -- milliseconds since 1970
-- The answer itself, if it was given as a file: it may be downloaded again until it is used.
alter table courier_joining add column file blob;
