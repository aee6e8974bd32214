-- no-transaction
-- The tombstones of one user's devices: a registration keeps a bounded number of them. Built beside the writers.
create index concurrently if not exists devices_tombstones_by_user on devices (user_id, invalidated_at)
    where invalidated_at is not null;
