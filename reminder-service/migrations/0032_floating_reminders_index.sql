-- no-transaction
-- Floating reminders of a user whose zone changed, and if there is any floating reminder at all.
create index concurrently if not exists reminders_floating on reminders (user_id, id) include (time_zone) where is_floating;
