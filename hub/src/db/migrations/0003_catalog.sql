-- The catalogue: rows that screens query, projected from the documents of `lessons`.
-- All of it but the lessons that are still being imported here can be rebuilt from `docs`.

-- A row is one lesson: of the alliance, once its document is saved (is_published = 1), or of
-- this hub alone, from the end of its upload on (is_published = 0).
create table lessons (
    lesson         blob primary key,   -- id of the lesson and of its document, 16 bytes
    is_published   integer not null,
    is_deleted     integer not null,
    title          text not null,
    subject        text not null,
    grade          text not null,
    teacher        text not null,
    school         text not null,      -- name of the school that made it
    school_hub     blob not null,      -- key of that school's hub, 32 bytes; zeros until published
    filename       text not null,      -- as it was uploaded
    duration_ms    integer not null,   -- 0 while it is not known
    created_at_ms  integer not null,   -- milliseconds since 1970
    has_poster     integer not null
) strict;
-- The order of the library: newest first.
create index lessons_newest on lessons (created_at_ms desc, lesson desc) where is_deleted = 0;

-- A row is the picture shown for a lesson, apart so that lists do not read it.
create table lesson_posters (
    lesson blob primary key,           -- 16 bytes
    jpeg   blob not null               -- at most 16 KiB
) strict;

-- A row is one track of a published lesson.
create table lesson_tracks (
    lesson        blob not null,       -- 16 bytes
    kind          text not null,       -- audio, video-360, source
    blob          blob not null,       -- 32 bytes
    codecs        text not null,       -- RFC 6381
    width         integer,             -- pixels
    height        integer,             -- pixels
    bytes         integer not null,    -- of the whole track, as its document says
    created_at_ms integer not null,    -- of the lesson
    class         integer not null,    -- order of fetching: 0 first
    is_wanted     integer not null,    -- 1 if not whole here, and its lesson not deleted
    primary key (lesson, kind)
) strict, without rowid;
create index lesson_tracks_of_blob on lesson_tracks (blob);
-- The list of wants, in its order; as long as what is missing.
create index lesson_tracks_wanted on lesson_tracks (class, created_at_ms desc)
    where is_wanted = 1;

-- A row is one comment of a lesson's thread.
create table comments (
    lesson        blob not null,       -- 16 bytes
    op            blob not null,       -- made by the client that wrote it, 16 bytes
    author        text not null,       -- pseudonym, by which its hub knows the person
    name          text not null,       -- as shown
    school        text not null,
    school_hub    blob not null,       -- 32 bytes
    text          text not null,
    at_ms         integer,             -- place in the lesson
    written_at_ms integer not null,    -- milliseconds since 1970
    is_deleted    integer not null,
    primary key (lesson, op)
) strict;
create index comments_oldest on comments (lesson, written_at_ms, op);

-- One row: how many lessons the library has, kept up by the triggers below.
create table catalog_count (
    id      integer primary key check (id = 1),
    lessons integer not null
) strict;
insert into catalog_count (id, lessons) values (1, 0);
create trigger lessons_count_insert after insert on lessons when new.is_deleted = 0 begin
    update catalog_count set lessons = lessons + 1;
end;
create trigger lessons_count_delete after delete on lessons when old.is_deleted = 0 begin
    update catalog_count set lessons = lessons - 1;
end;
create trigger lessons_count_update after update of is_deleted on lessons
when old.is_deleted <> new.is_deleted begin
    update catalog_count set lessons = lessons + old.is_deleted - new.is_deleted;
end;

-- A lesson is in its school's library from the end of its upload on: the import that is enqueued
-- then names it. Until it is published its row says only what the upload said.
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

-- A lesson whose import is cancelled leaves the library; it comes back when that is tried again.
create trigger lessons_import_cancelled after update of state on jobs
when new.kind = 'import' and old.state <> new.state begin
    update lessons set is_deleted = (new.state = 'cancelled')
    where lesson = new.lesson_id and is_published = 0;
end;
