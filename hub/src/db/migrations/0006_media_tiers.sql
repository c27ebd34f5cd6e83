-- Tracks of a lesson are fetched in a new order, because there are more of them.
update lesson_tracks set class = case kind
    when 'audio' then 0 when 'slides' then 1
    when 'captions-1' then 2 when 'captions-2' then 3
    when 'captions-3' then 4 when 'captions-4' then 5
    when 'thumbs' then 6 when 'video-360' then 7 when 'video-480' then 8
    when 'source' then 9 else 10 end;

-- A row is what the seek bar of a published lesson shows, apart so that lists do not read it.
create table lesson_outlines (
    lesson   blob primary key,         -- 16 bytes
    chapters text not null,            -- JSON, [{"at_ms": 0, "title": "..."}], in order of time
    peaks    blob                      -- how loud each second is, 0 to 255; null: not known
) strict;

-- One row: which version of the projection has made the rows that come from documents. Another
-- one than the hub's own has them made again.
create table projection (
    id      integer primary key check (id = 1),
    version integer not null
) strict;
insert into projection (id, version) values (1, 0);

-- Work that outlives a restart. Progress is kept in memory. An `import` makes what a lesson can
-- be taught with; an `import-480` adds the track video-480 once no `import` waits any more.
create table jobs_of_tiers (
    -- in the order they were made
    id      integer primary key autoincrement,
    kind    text    not null check (kind in ('import', 'import-480')),
    -- 16 bytes
    lesson_id blob  not null,
    title   text    not null,
    -- JSON, as the kind needs it
    payload text    not null,
    state   text    not null
        check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- how often it was begun
    attempts integer not null default 0,
    -- 1 if somebody wants it done in spite of a class
    goes_on integer not null default 0,
    error_code text,
    error_detail text,
    -- unix milliseconds
    created_at integer not null
) strict;
insert into jobs_of_tiers (id, kind, lesson_id, title, payload, state, attempts, error_code,
    error_detail, created_at)
select id, kind, lesson_id, title, payload, state, attempts, error_code, error_detail, created_at
from jobs;
drop table jobs;
alter table jobs_of_tiers rename to jobs;
create index jobs_by_state on jobs (state);
create index jobs_by_lesson on jobs (lesson_id);

-- As in 0003; a table's triggers go with it.
create trigger lessons_import_enqueued after insert on jobs when new.kind = 'import' begin
    insert or ignore into lessons (lesson, is_published, is_deleted, title, subject, grade,
        teacher, school, school_hub, filename, duration_ms, created_at_ms, has_poster)
    select new.lesson_id, 0, 0, new.title,
        coalesce(json_extract(new.payload, '$.subject'), 'other'),
        coalesce(json_extract(new.payload, '$.grade'), ''),
        coalesce(json_extract(new.payload, '$.teacher'), ''),
        coalesce((select name from school), ''), zeroblob(32),
        coalesce(json_extract(new.payload, '$.filename'), ''), 0, new.created_at, 0;
end;
create trigger lessons_import_cancelled after update of state on jobs
when new.kind = 'import' and old.state <> new.state begin
    update lessons set is_deleted = (new.state = 'cancelled')
    where lesson = new.lesson_id and is_published = 0;
end;
