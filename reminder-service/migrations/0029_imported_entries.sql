-- Entries of calendar files and the reminders that they became, so that another import of the same file finds them.
create table imported_entries (
    user_id     text not null,
    -- SHA-256 of the UID, of the replaced instance and of the place among equal ones, as UIDs may be long.
    key         bytea not null,
    reminder_id uuid not null references reminders (id) on delete cascade,
    -- SHA-256 of the fields that were read from the file.
    digest      bytea not null,
    -- SEQUENCE and DTSTAMP of the entry.
    sequence    bigint not null,
    stamped_at  timestamptz,
    primary key (user_id, key)
);
create index imported_entries_reminder on imported_entries (reminder_id);
