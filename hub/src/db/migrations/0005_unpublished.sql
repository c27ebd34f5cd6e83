-- Finds lessons that are still being made here, or could not be: pupils do not see them.
create index lessons_unpublished on lessons (lesson) where is_published = 0 and is_deleted = 0;
