-- What a user has read. It is kept beside the ledger, and nothing of it is written when something is delivered: the ledger's
-- rows are written thousands of times a second, these when a person looks at their inbox.

-- A user's inbox: there once something was marked in it.
create table inboxes (
    user_id  text primary key,
    -- Grows with every change of what is read; by it an open stream sees that the count of the unread is another.
    revision bigint not null default 1
);

-- "All up to here is read": one row, however much it covers. An occurrence was read when the first of these that covers its
-- arrival (its first delivery that was sent) was made.
create table inbox_readings (
    user_id text not null,
    up_to   timestamptz not null,
    read_at timestamptz not null default now(),
    primary key (user_id, up_to)
);

-- A word on one occurrence, which counts more than any reading that covers it: read then, or (null) unread.
create table inbox_marks (
    user_id       text not null,
    occurrence_id uuid not null,
    read_at       timestamptz,
    primary key (user_id, occurrence_id)
);
create index inbox_marks_unread on inbox_marks (user_id, occurrence_id) where read_at is null;
