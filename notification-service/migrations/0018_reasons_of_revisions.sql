-- Reason code for which a revision cancels an occurrence that has not arrived yet. Null for a new
-- content, and in rows of earlier versions, whose occurrences end as CANCELLED.
alter table revisions add column reason text;
