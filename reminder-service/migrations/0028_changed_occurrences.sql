-- Occurrences whose texts differ from those of the others: [{"date","title","message","url","data"}],
-- as in the messages; null of a reminder that has none.
alter table reminders add column changed_occurrences jsonb;
