-- no-transaction
-- occurrences_due_of_user (0009) serves the same claims.
drop index concurrently if exists occurrences_due;
