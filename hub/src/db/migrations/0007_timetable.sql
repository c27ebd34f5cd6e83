-- Timetables and plans of lessons: rows that screens query, projected from the documents of the
-- collection `timetables`. The first two tables can be rebuilt from `docs`.

-- A row is one term of one school, whose hub wrote its document first. Its entries are looked at
-- together, each day anew, so they are one text and no rows.
create table timetable_terms (
    term       blob primary key,       -- id of its document, 16 bytes
    school_hub blob not null,          -- key of that school's hub, 32 bytes
    name       text not null,
    first_day  text not null,          -- YYYY-MM-DD
    last_day   text not null,          -- YYYY-MM-DD
    is_deleted integer not null,
    body       text not null           -- JSON, as the API shows a term
) strict;
create index timetable_terms_of_school on timetable_terms (school_hub, first_day);

-- A row is one plan of lessons that a school offers to the others.
create table offers (
    offer        blob primary key,     -- id of its document, 16 bytes
    school_hub   blob not null,        -- key of that school's hub, 32 bytes
    is_withdrawn integer not null,
    title        text not null,
    subject      text not null,
    grade        text not null,
    textbook     text not null,
    school       text not null,        -- name of that school
    items        text not null         -- JSON, its lessons in order
) strict;

-- One row, written at each start: what makes a term this school's own, and what time it is there.
create table timetable_hub (
    id             integer primary key check (id = 1),
    hub            blob not null,      -- this hub's key, 32 bytes
    utc_offset_min integer not null    -- minutes that the school's clocks are ahead of UTC
) strict;

-- A row is a file with a timetable that somebody has sent and not yet applied; kept for a day.
create table timetable_imports (
    import     blob primary key,       -- 16 random bytes
    filename   text not null,
    content    text not null,          -- JSON, what was read of the file
    made_at_ms integer not null        -- milliseconds since 1970
) strict;

-- A row is what an import has replaced; kept for 30 days.
create table timetable_undos (
    undo       blob primary key,       -- 16 random bytes
    term       blob not null,          -- 16 bytes
    before     text,                   -- JSON of the term; null if there was none
    made_at_ms integer not null        -- milliseconds since 1970
) strict;
