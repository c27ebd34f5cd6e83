-- What the sync node keeps. Only store.rs writes here; every write is one StoreOp.

-- A row is one signed membership epoch of the alliance, numbered from 0 without a gap.
create table epochs (
    n     integer primary key,         -- number of the epoch
    bytes blob not null                -- as signed, opaque here
) strict;

-- A row is an invitation that this hub, as registrar, has made. The secret itself is not kept.
create table invitations (
    secret_hash     blob primary key,  -- BLAKE3 of the secret, 32 bytes
    expires_wall_ms integer not null,  -- milliseconds since 1970
    used_by         blob               -- key of the hub that joined with it, 32 bytes
) strict, without rowid;

-- A row is one signed envelope of one hub's journal in one collection: the truth of documents.
-- `rowid` is the order in which envelopes were appended here.
create table envelopes (
    rowid      integer primary key,
    collection text not null,
    author     blob not null,          -- key of the hub that wrote it, 32 bytes
    seq        integer not null,       -- place in the journal, from 1
    hash       blob not null,          -- BLAKE3 of bytes, 32 bytes
    doc        blob not null,          -- the document it changes, 16 bytes
    is_applied integer not null default 0, -- 1 once the saved document has it
    bytes      blob not null,          -- as signed, opaque here
    unique (collection, author, seq)
) strict;
-- Finds what a document does not have yet; empty nearly always.
create index envelopes_unapplied on envelopes (collection, doc) where is_applied = 0;

-- A row is the newest envelope of one journal, so that a start reads tens of rows and not
-- the journals.
create table journal_heads (
    collection text not null,
    author     blob not null,          -- 32 bytes
    seq        integer not null,       -- of the newest envelope
    primary key (collection, author)
) strict, without rowid;

-- A row is the fingerprint of all envelopes of a collection, as the node computed it.
create table collection_fingerprints (
    collection  text primary key,
    fingerprint blob not null          -- 16 bytes
) strict, without rowid;

-- A row is a saved document: a cache of its envelopes, never the truth.
create table docs (
    collection text not null,
    doc        blob not null,          -- 16 bytes
    snapshot   blob not null,          -- as Automerge saves it
    primary key (collection, doc)
) strict;

-- A row is a blob whose manifest is known here. The file's pieces count only where the
-- bitmap says so; the bitmap is committed after the pieces are on disk.
create table blobs (
    blob           blob primary key,   -- BLAKE3 of manifest, 32 bytes
    pieces         integer not null,   -- pieces in all
    held_pieces    integer not null,   -- pieces verified
    verified_bytes integer not null,   -- bytes of the pieces verified
    total_bytes    integer not null,   -- bytes in all
    is_complete    integer not null,   -- 1 if every piece is verified
    bitmap         blob not null,      -- verified pieces, one bit a piece, lowest bit first
    manifest       blob not null       -- as encoded by its maker; last, because it is long
) strict;

-- A row says that a lesson's document in a collection names a blob: whoever may read the
-- collection may read the blob. Part of the catalogue's projection.
create table blob_refs (
    blob       blob not null,          -- 32 bytes
    collection text not null,
    lesson     blob not null,          -- 16 bytes
    primary key (blob, collection, lesson)
) strict, without rowid;
create index blob_refs_of_lesson on blob_refs (lesson);

-- A row is one meeting or parting with another hub; the newest 1,000 are kept.
create table link_history (
    id             integer primary key,
    at_ms          integer not null,   -- milliseconds since 1970
    hub            blob not null,      -- 32 bytes
    event          text not null check (event in ('met', 'left')),
    received_bytes integer not null,   -- while the contact lasted; 0 at 'met'
    sent_bytes     integer not null,   -- while the contact lasted; 0 at 'met'
    reason         text                -- of 'left', in a few words
) strict;
create index link_history_of_hub on link_history (hub, at_ms);
