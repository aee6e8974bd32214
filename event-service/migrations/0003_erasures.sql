-- Erasures that are under way. A user's rows are deleted in chunks after the erasure is noted, by any replica; a row here
-- is what a replica that takes over after a crash goes on from. It goes with the last of the user's rows.
create table pending_erasures (
    user_digest  bytea primary key,
    -- In the clear as long as there is something left to find by it.
    user_id      text not null,
    -- What happened up to then is erased.
    erased_at    timestamptz not null,
    receipt_id   text not null,
    requested_at timestamptz not null default now(),
    -- A transaction that began after the erasure was committed. Every transaction that could not see the erasure has a
    -- smaller number: once all of those have ended, nothing of the user is written any more (docs/adr/0013).
    horizon      bigint,
    -- Leased to the replica that deletes; on a crash another one goes on when it runs out.
    lease_until  timestamptz not null default '-infinity'
);

-- What waits for a topic is found by its user: both tables were read from end to end before, each body parsed as JSON.
create index outbox_user on outbox ((attributes ->> 'userId'));
create index commands_user on commands ((attributes ->> 'userId'));
