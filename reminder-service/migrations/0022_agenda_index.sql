-- no-transaction
-- The order in which lists by time read the reminders of a user.
create index concurrently if not exists reminders_by_nothing_before on reminders (user_id, nothing_before, id);
