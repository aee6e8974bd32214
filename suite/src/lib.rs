//! The four services in one process, with a private PostgreSQL and sandbox providers.
