//! Consumes events; owns the notifications database and the event catalogue.
