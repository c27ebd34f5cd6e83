-- What hubs have countersigned of each other's journals, and more kinds of alarms.

-- A row is a signed statement: at its clock's time, this witness held this journal up to here, and
-- the entry there had this hash. Of other schools' journals the farthest of each witness is kept;
-- of this hub's own one a day, so that it can show since when its entries are there. One that a
-- journal contradicts is kept for ever.
create table witness_statements (
    collection     text not null,
    author         blob not null,      -- whose journal, 32 bytes
    witness        blob not null,      -- who signed, 32 bytes
    slot           integer not null,   -- 0: the farthest; day since 1970; -1: contradicted
    seq            integer not null,   -- place in the journal
    hash           blob not null,      -- of the entry there, 32 bytes
    number         integer not null,   -- counts the witness's statements up, with gaps
    received_at_ms integer not null,   -- milliseconds since 1970, by this hub's clock
    bytes          blob not null,      -- as signed, opaque here
    primary key (collection, author, witness, slot)
) strict, without rowid;

-- Alarms, with more kinds.
create table alarms_new (
    id         integer primary key,
    at_ms      integer not null,       -- milliseconds since 1970, when it was last noticed
    kind       text not null check (kind in ('fork', 'equivocation', 'restored', 'wrong_piece',
               'damage', 'trespass', 'witness')),
    text_code  text not null,          -- which sentence a screen says
    hub        blob,                   -- whose school it is about, 32 bytes; null: this one
    params     text not null,          -- what the sentence names, JSON
    seen_at_ms integer                 -- milliseconds since 1970; null until a person has seen it
) strict;
insert into alarms_new select id, at_ms, kind, text_code, hub, params, seen_at_ms from alarms;
drop table alarms;
alter table alarms_new rename to alarms;
create index alarms_unseen on alarms (text_code) where seen_at_ms is null;
