-- The night: what links carried, what was read again, what people asked for, what others say.

-- A row is what one hour of the week carried on the way to a hub; to this hub itself: over all
-- ways together. Newer weeks count more.
create table link_hours (
    hub      blob not null,            -- key of the other hub, 32 bytes
    hour     integer not null,         -- local, 0 to 167, from Monday 00:00 on
    seen     real not null,            -- how often it was seen, at most 8
    mean     real not null,            -- bytes a second
    variance real not null,            -- of those, squared
    primary key (hub, hour)
) strict, without rowid;

-- A row is what else is known of the way to a hub.
create table link_rates (
    hub            blob primary key,   -- 32 bytes
    up_seen        real not null,      -- hours in contact with a download, at most 8
    up_mean        real not null,      -- bytes a second in them
    up_variance    real not null,      -- of those, squared
    day            integer not null,   -- local day that is not over yet, from 1970-01-01
    today_hours    integer not null,   -- of it, hours in which something was wanted
    today_carried  real not null,      -- what they carried, bytes a second added up
    today_expected real not null       -- what had been expected of them, likewise
) strict, without rowid;

-- A row is how one day differed from what was expected of a way: carried over expected.
create table link_days (
    hub   blob not null,               -- 32 bytes
    day   integer not null,            -- from 1970-01-01
    ratio real not null,
    primary key (hub, day)
) strict, without rowid;

-- A row is what arrived from a hub on a local day, for the budgets; kept for 40 days.
create table day_bytes (
    day            integer not null,   -- from 1970-01-01
    hub            blob not null,      -- 32 bytes
    received_bytes integer not null,
    primary key (day, hub)
) strict, without rowid;

-- A row says when every held piece of a blob was last compared with its hash.
create table blob_checks (
    blob          blob primary key,    -- 32 bytes
    checked_at_ms integer not null,    -- milliseconds since 1970; 0: never as a whole
    next_piece    integer not null default 0 -- where a check that is under way goes on
) strict, without rowid;
create index blob_checks_oldest on blob_checks (checked_at_ms);
-- What arrived before checks were kept is due at once.
insert into blob_checks (blob, checked_at_ms) select blob, 0 from blobs where held_pieces > 0;
-- Each piece is compared as it arrives.
create trigger blob_checks_complete after update of is_complete on blobs
when new.is_complete = 1 and old.is_complete = 0 begin
    insert into blob_checks (blob, checked_at_ms)
    values (new.blob, cast(unixepoch('subsec') * 1000 as integer))
    on conflict (blob) do update set checked_at_ms = excluded.checked_at_ms, next_piece = 0;
    update damage set mended_at_ms = cast(unixepoch('subsec') * 1000 as integer)
    where blob = new.blob and mended_at_ms is null;
end;
create trigger blob_checks_gone after delete on blobs begin
    delete from blob_checks where blob = old.blob;
    delete from damage where blob = old.blob;
end;

-- A row is a damage that was found in a blob's file; its pieces are not held any more then.
create table damage (
    id           integer primary key,
    blob         blob not null,        -- 32 bytes
    pieces       integer not null,     -- that were wrong or gone
    found_at_ms  integer not null,     -- milliseconds since 1970
    mended_at_ms integer               -- when the blob was whole again
) strict;
create index damage_open on damage (blob) where mended_at_ms is null;

-- One row: what people asked of the night, and what it has to remember.
create table night_state (
    id                  integer primary key check (id = 1),
    paused_until_ms     integer not null default 0, -- nothing is fetched before
    hurry_until_ms      integer not null default 0, -- windows and classes do not matter before
    seen_at_ms          integer not null default 0, -- the wall clock, some minutes ago at most
    scrub_asked_at_ms   integer not null default 0, -- everything is to be read that was not since
    scrub_finished_at_ms integer not null default 0,
    warned_for          text not null default ''    -- the date for which warnings were given
) strict;
insert into night_state (id) values (1);

-- A row is a lesson that somebody wants to have.
create table pins (
    lesson       blob primary key,     -- 16 bytes
    is_urgent    integer not null,     -- 1: before everything else
    pinned_at_ms integer not null      -- milliseconds since 1970
) strict, without rowid;

-- A row is a lesson of the timetable that was said, on the evening before, not to make it.
create table night_warnings (
    date         text not null,        -- YYYY-MM-DD
    slot         text not null,
    title        text not null,
    reason       text not null,
    next_step    text not null,
    probability  real not null,        -- of its being there in time all the same, 0 to 1
    warned_at_ms integer not null,     -- milliseconds since 1970
    primary key (date, slot)
) strict, without rowid;

-- A row is what a hub says of its lessons of one day: projected from its own document in
-- `timetables`, which it alone has written.
create table hub_readiness (
    hub           blob not null,       -- 32 bytes
    date          text not null,       -- YYYY-MM-DD
    ready         integer not null,
    ready_at      integer not null,
    not_ready     integer not null,
    lessons       text not null,       -- JSON, [{"lesson": hex, "state": "ready", "tier": "t1"}]
    written_at_ms integer not null,    -- milliseconds since 1970, by that hub's clock
    primary key (hub, date)
) strict, without rowid;
