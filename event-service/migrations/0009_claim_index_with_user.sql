-- no-transaction
-- Takes the place of occurrences_due. A claim changes neither column: it stays a HOT update.
create index concurrently if not exists occurrences_due_of_user on occurrences (due_at, user_key) where pending;
