-- Whose an occurrence is, in the index that the scheduler claims by, so that one user's backlog can be passed over
-- without reading its rows: with 100,000 occurrences of one user due at an instant, those of others are found at once.

-- A hash of the user. The lowest bit is the priority: clear for `high`, so that the two keys of a user lie side by side.
create function occurrence_user_key(user_id text, priority text) returns bigint
language sql immutable parallel safe
return (hashtextextended(user_id, 0) & ~1::bigint) | case priority when 'high' then 0 else 1 end;

-- Rows that an outcome made before their notification was known are never pending and keep 0.
alter table occurrences add column user_key bigint not null default 0;

update occurrences set user_key = occurrence_user_key(n.user_id, n.content->>'priority')
from notifications as n
where occurrences.pending and n.id = occurrences.notification_id;
