-- A hub whose clock is doubtful believes it again after a day of steady running, and keeps its
-- budgets by the time that it runs.
alter table night_state add column steady_ms integer not null default 0;    -- run since the doubt began, by a clock that does not jump
alter table night_state add column steady_at_ms integer not null default 0; -- the wall clock when that was noted; milliseconds since 1970
alter table night_state add column running_ms integer not null default 0;   -- run since `running_bytes` was cleared, likewise

-- A row is what arrived from a hub in the last 24 hours of running, at most; from this hub: in all.
create table running_bytes (
    hub            blob primary key,   -- 32 bytes
    received_bytes integer not null
) strict, without rowid;
