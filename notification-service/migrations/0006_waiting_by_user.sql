-- no-transaction
-- The unfinished deliveries of one user, which a change of their preferences looks at: without it that reads the user's whole history.
-- A row that a process holds under a lease is not in it, so that a delivery which is sent at once costs this index nothing.
-- Built beside the writers; one statement a file, since CONCURRENTLY runs in no transaction.
create index concurrently if not exists deliveries_waiting_by_user on deliveries (user_id)
    where state in ('pending', 'deferred') and not leased;
