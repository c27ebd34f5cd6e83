-- Couriers: what is written to sticks and read from them. Nothing here is truth: exports and
-- imports go on after a restart, and what other hubs are known to hold saves bytes.

-- A row is one export or import that somebody asked for.
create table courier_jobs (
    id           integer primary key,
    kind         text not null check (kind in ('export', 'import')),
    state        text not null
        check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    folder       text,                 -- of the stick; none if it goes through a browser
    upload_id    blob,                 -- of an import from a browser, 16 bytes
    targets      blob not null,        -- of an export: keys of hubs, 32 bytes each
    bytes_max    integer,              -- of an export
    parcel       integer not null,     -- of an export: names what is written
    attempts     integer not null default 0,
    done_bytes   integer not null default 0,
    total_bytes  integer not null default 0,
    report       text not null default '{}', -- JSON: what came of it
    error_code   text,
    error_detail text,
    created_at   integer not null,     -- milliseconds since 1970
    finished_at  integer               -- milliseconds since 1970
) strict;
create index courier_jobs_open on courier_jobs (id) where state in ('queued', 'running');

-- A row is the newest receipt of another hub, as it signed it.
create table courier_receipts (
    hub        blob primary key,       -- 32 bytes
    number     integer not null,       -- counts up
    written_at integer not null,       -- its clock, milliseconds since 1970
    bytes      blob not null
) strict, without rowid;

-- One row: the number of this hub's newest receipt.
create table courier_receipt_number (
    id     integer primary key check (id = 1),
    number integer not null
) strict;
insert into courier_receipt_number (id, number) values (1, 0);

-- A row is a segment that this hub wrote: what is in it, so that it is not written twice.
create table courier_segments (
    parcel   integer not null,
    hash     blob not null,            -- BLAKE3 of the encrypted file, 32 bytes
    contents blob not null,            -- as courier/contents.rs encodes it
    at_ms    integer not null,         -- milliseconds since 1970
    primary key (parcel, hash)
) strict, without rowid;

-- A row is a segment of another hub that was taken: it is passed over while its blobs are whole.
create table courier_taken (
    hash  blob primary key,            -- 32 bytes
    blobs blob not null,               -- 32 bytes each
    at_ms integer not null             -- milliseconds since 1970
) strict, without rowid;

-- A row is a parcel of another hub that was taken whole; receipts say so.
create table courier_parcels (
    author blob not null,              -- 32 bytes
    parcel integer not null,
    at_ms  integer not null,           -- milliseconds since 1970
    primary key (author, parcel)
) strict, without rowid;

-- An upload with is_courier = 1 is no lesson but a file that a courier brought; courier_import is
-- the import that it has become.
alter table uploads add column is_courier integer not null default 0;
alter table uploads add column courier_import integer;
