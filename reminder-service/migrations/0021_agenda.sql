-- Lists of a user's reminders and occurrences by time.
-- A reminder has neither an occurrence nor a delivery after the time at which this was computed and
-- before this time. A list reads the reminders in the order of these times, and ends where no later
-- one can be among the first. The epoch: not computed since the last change. 9999-12-31: nothing is
-- left.
alter table reminders add column nothing_before timestamptz not null default 'epoch';
