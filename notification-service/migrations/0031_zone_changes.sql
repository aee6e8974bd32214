-- Zone that the preferences of each user name, with the time at which it last changed, for the reminders that follow it. A
-- user who has stored no preferences since this table is there has no row: nothing has changed.
create table zone_changes (
    user_id    text primary key references preferences on delete cascade,
    -- Null: the preferences name no zone.
    zone       text,
    -- E-mail address of the user at the change; null if it was not verified.
    email      text,
    changed_at timestamptz not null
);
create index zone_changes_changed_at on zone_changes (changed_at, user_id);
