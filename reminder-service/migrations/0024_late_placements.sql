-- Occurrences that were restored or moved when some of their deliveries had passed: those deliveries
-- were never sent, so they make no occurrence the latest one, which a snooze or an acknowledgement
-- applies to.
alter table reminders add column late_dates timestamptz[] not null default '{}';
-- When each of them got its place.
alter table reminders add column late_placed_at timestamptz[] not null default '{}';
