-- Since when a reminder is paused; null of one that is not. Nothing of it is delivered, so its
-- last_at is '-infinity': lists by status need no other column.
alter table reminders add column paused_at timestamptz;
