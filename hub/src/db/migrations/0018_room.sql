-- Room on the disk: what was let go to make some, and when lessons were played last.

-- A row is a blob that was let go. What nobody asks for does not want it again; the row leaves
-- when the blob is whole here again, or when somebody asks for its lesson.
create table blobs_evicted (
    blob          blob primary key,    -- 32 bytes
    lesson        blob not null,       -- a lesson that names it, 16 bytes
    bytes         integer not null,    -- that it had here
    evicted_at_ms integer not null,    -- milliseconds since 1970
    has_file      integer not null     -- 1 until its file is removed
) strict, without rowid;
create index blobs_evicted_with_file on blobs_evicted (blob) where has_file = 1;
create index blobs_evicted_of_lesson on blobs_evicted (lesson);
create trigger blobs_evicted_back after update of is_complete on blobs
when new.is_complete = 1 and old.is_complete = 0 begin
    delete from blobs_evicted where blob = new.blob;
end;

-- A row says when a lesson was played from this hub last.
create table lessons_played (
    lesson       blob primary key,     -- 16 bytes
    played_at_ms integer not null      -- milliseconds since 1970
) strict, without rowid;
