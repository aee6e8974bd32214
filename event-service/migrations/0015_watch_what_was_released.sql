-- no-transaction
-- What was released before there was a watchdog (0005). It reads the whole table and locks nothing of it.
insert into unsettled (occurrence_id, look_at)
select id, now() + interval '1 hour' from occurrences where state = 'released'
on conflict (occurrence_id) do nothing;
