-- One row: the invitation that this hub has answered by courier, until a stick brings back the
-- membership. It is a secret: whoever has it may join once.
create table courier_joining (
    id          integer primary key check (id = 1),
    invitation  text not null,         -- its line of text
    answered_at integer not null       -- milliseconds since 1970
) strict;
