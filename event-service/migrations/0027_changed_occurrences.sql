-- Occurrences whose texts differ from those of the others: [{"date","title","message","url","data"}],
-- as in the messages; null of a notification that has none. The scheduler sends them in place of the
-- texts of "content".
alter table notifications add column changed_occurrences jsonb;
