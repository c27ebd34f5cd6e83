-- What keeps hubs honest: evidence, alarms, and whether this database is the one that it was.

-- A row is a signed envelope that does not count: of a hub that was taken out, past what its
-- registrar knew; or one that contradicts the envelope in its place. Kept as evidence, and because
-- the first kind may count after all, if an envelope that counts builds on it.
create table envelopes_aside (
    collection text not null,
    author     blob not null,          -- key of the hub that wrote it, 32 bytes
    seq        integer not null,       -- place in the journal, from 1
    hash       blob not null,          -- BLAKE3 of bytes, 32 bytes
    doc        blob not null,          -- the document it changes, 16 bytes
    bytes      blob not null,          -- as signed, opaque here
    primary key (collection, author, seq, hash)
) strict;

-- A row is a signed epoch that contradicts the one with its number: the registrar's key is stolen
-- or was copied.
create table epochs_aside (
    n     integer not null,            -- number of the epoch
    hash  blob not null,               -- BLAKE3 of bytes, 32 bytes
    bytes blob not null,               -- as signed, opaque here
    primary key (n, hash)
) strict, without rowid;

-- One row: which store this is. The file store.id beside the database says the same; if they
-- differ, or the database has moved, one of them was restored or copied.
create table store_identity (
    id          integer primary key check (id = 1),
    store_id    blob not null,         -- random, 16 bytes; another one after each restore or copy
    starts      integer not null,      -- how often the hub was started on it
    place       text not null,         -- of the file and its computer, opaque
    is_in_doubt integer not null       -- 1 while others have not said what this hub wrote
) strict;

-- A row is something that a person has to look at; the newest 1,000 are kept.
create table alarms (
    id         integer primary key,
    at_ms      integer not null,       -- milliseconds since 1970, when it was last noticed
    kind       text not null check (kind in
               ('fork', 'equivocation', 'restored', 'wrong_piece', 'damage')),
    text_code  text not null,          -- which sentence a screen says
    hub        blob,                   -- whose school it is about, 32 bytes; null: this one
    params     text not null,          -- what the sentence names, JSON
    seen_at_ms integer                 -- milliseconds since 1970; null until a person has seen it
) strict;
create index alarms_unseen on alarms (text_code) where seen_at_ms is null;
