-- Whose an occurrence is, in the index that the scheduler claims by, so that one user's backlog can be passed over
-- without reading its rows: with 100,000 occurrences of one user due at an instant, those of others are found at once.
-- replaces ff5913d811950a17fa04b279004542c9acda97c0, which filled the column under its lock; 0014 does it beside everybody.

-- A hash of the user. The lowest bit is the priority: clear for `high`, so that the two keys of a user lie side by side.
create function occurrence_user_key(user_id text, priority text) returns bigint
language sql immutable parallel safe
return (hashtextextended(user_id, 0) & ~1::bigint) | case priority when 'high' then 0 else 1 end;

-- The default is kept with the table: no row is rewritten. Rows that an outcome made before their notification was known
-- are never pending and keep 0.
alter table occurrences add column user_key bigint not null default 0;
