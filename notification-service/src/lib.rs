//! Keeps devices and sends push messages and e-mail.
