-- When a reminder got its present schedule: what that schedule yields before then was not delivered, and cannot be snoozed or
-- acknowledged. Null of one whose schedule never changed, which has it since it was made; of those that were changed before
-- this column was there, it is not known and the time of their making is taken.
alter table reminders add column scheduled_at timestamptz;
