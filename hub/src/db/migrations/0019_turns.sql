-- Schools take turns with what nobody has asked for: which school has made a track, and the list of
-- wants of each. Filled when the library is read again.
alter table lesson_tracks add column school_hub blob not null default x'';
create index lesson_tracks_wanted_of on lesson_tracks (school_hub, class, created_at_ms desc)
    where is_wanted = 1;
