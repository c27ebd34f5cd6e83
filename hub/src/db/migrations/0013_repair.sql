-- What a hub that has repaired its database still has to do. All of it is empty otherwise.

-- A row is a blob whose file is to be read again before any of its pieces counts: the database
-- that knew them was damaged. It is not fetched meanwhile.
create table blobs_unread (
    blob blob primary key              -- 32 bytes
) strict, without rowid;

-- A row is a whole blob that was found again; it stays although no lesson names it, because the
-- document that does may have been lost.
create table blobs_found (
    blob blob primary key              -- 32 bytes
) strict, without rowid;

-- A row is a signed envelope that was read out of a damaged database, and that does not count
-- yet: what comes before it is missing.
create table envelopes_waiting (
    collection text not null,
    author     blob not null,          -- key of the hub that wrote it, 32 bytes
    seq        integer not null,       -- place in the journal, from 1
    hash       blob not null,          -- BLAKE3 of bytes, 32 bytes
    bytes      blob not null,          -- as signed
    primary key (collection, author, seq, hash)
) strict;
