//! REST API of reminders; owns the reminders database.
