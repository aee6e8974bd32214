-- no-transaction
-- What has ended is purged by this, oldest first. The block ranges of occurrences_old only narrowed a scan as long as
-- rows lay in the order of their times: after one turn of the retention every range holds, or held, something old.
create index concurrently if not exists occurrences_ended on occurrences (due_at) where not pending;
