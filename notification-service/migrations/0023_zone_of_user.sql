-- Zone of a user's wall clock, which reminders without a zone of their own have. No value: the user named none.
alter table preferences add column user_time_zone text;
