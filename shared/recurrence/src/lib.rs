//! Recurring times: RFC 5545 rules in wall-clock time of a zone, as instants.
