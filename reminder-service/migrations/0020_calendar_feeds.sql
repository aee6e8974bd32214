-- Secret addresses under which calendar apps read a user's reminders. Only the digest of a secret is stored, so a reader of
-- the table cannot read a calendar.
create table calendar_feeds (
    id            uuid primary key,
    user_id       text not null,
    secret_digest bytea not null unique,
    created_at    timestamptz not null default now(),
    -- The last time at which the address was replaced.
    rotated_at    timestamptz
);
create index calendar_feeds_user on calendar_feeds (user_id, id);
