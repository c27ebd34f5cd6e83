-- The pages say at each moment what will not make it; nothing has read what was said in the evening.
drop table night_warnings;
