-- The school that this hub belongs to. No row: the hub is not set up.
create table school (
    id      integer primary key check (id = 1),
    name    text    not null,
    -- unix milliseconds
    created_at integer not null
) strict;

-- One person who may log in here. Never leaves this hub; other schools see the pseudonym alone.
create table users (
    -- 16 random bytes
    id      blob    primary key,
    -- what is typed to log in, lower case
    login   text    not null unique,
    -- shown at this school
    name    text    not null,
    role    text    not null check (role in ('admin', 'teacher', 'pupil')),
    -- 16 hex characters, random: names the person to other schools
    pseudonym text  not null unique,
    -- argon2id, PHC string
    password text   not null,
    -- unix milliseconds
    created_at integer not null
) strict, without rowid;

-- One login on one browser. The cookie itself is not kept.
create table sessions (
    -- BLAKE3 of the cookie's 32 random bytes
    hash    blob    primary key,
    user_id blob    not null references users (id) on delete cascade,
    -- unix milliseconds
    expires_at integer not null
) strict, without rowid;
create index sessions_by_user on sessions (user_id);

-- One file on its way in, in <data>/uploads/<id>. Kept for a while after it is complete, so that
-- a client that lost the last answer learns which lesson it has become.
create table uploads (
    -- 16 random bytes
    id      blob    primary key,
    user_id blob    not null references users (id) on delete cascade,
    -- as the client says, shortened; never used as a path
    filename text   not null,
    title   text    not null,
    subject text    not null,
    grade   text    not null,
    teacher text    not null,
    -- bytes in all
    length  integer not null,
    -- bytes that have arrived and are durable
    offset_bytes integer not null default 0,
    -- 16 bytes once it is complete
    lesson_id blob,
    -- unix milliseconds
    created_at integer not null,
    -- unix milliseconds of the last bytes
    touched_at integer not null
) strict, without rowid;
create index uploads_by_user on uploads (user_id);

-- Work that outlives a restart. Progress is kept in memory.
create table jobs (
    -- in the order they were made
    id      integer primary key autoincrement,
    kind    text    not null check (kind in ('import')),
    -- 16 bytes
    lesson_id blob  not null,
    title   text    not null,
    -- JSON, as the kind needs it
    payload text    not null,
    state   text    not null
        check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- how often it was begun
    attempts integer not null default 0,
    error_code text,
    error_detail text,
    -- unix milliseconds
    created_at integer not null
) strict;
create index jobs_by_state on jobs (state);
create index jobs_by_lesson on jobs (lesson_id);
