-- When the user made the last acknowledgement; "acknowledged" is the occurrence that it is of.
alter table reminders add column acknowledged_at timestamptz;
