-- SHA-256 of the fields of an imported entry that say when: a schedule that the user changed stays while the file has the
-- same one. Entries that were imported before have none and take the schedule of the next changed file.
alter table imported_entries add column schedule_digest bytea not null default '';
alter table imported_entries alter column schedule_digest drop default;
