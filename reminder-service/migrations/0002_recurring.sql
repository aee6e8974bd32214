-- Recurring reminders, and what their users did with the latest occurrence.

-- Occurrences up to this one are acknowledged: nothing of them is delivered any more.
alter table reminders add column acknowledged timestamptz;
-- An occurrence that comes once more, and when.
alter table reminders add column snooze_date timestamptz;
alter table reminders add column snooze_until timestamptz;
alter table reminders add constraint reminders_snooze check ((snooze_date is null) = (snooze_until is null));

comment on column reminders.recurrence is '{"rrule","exdates","gap","fold"} as in the messages; null when it comes once';
