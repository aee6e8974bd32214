-- no-transaction
-- Tombstones are purged by this, oldest first, together with occurrences that were cancelled long before their time.
create index concurrently if not exists notifications_deleted on notifications (updated_at, id) where state = 'deleted';
