//! The scheduler on event-service's schema, in a real database, publishing to the bus that is in
//! it.

mod claims;
mod fixture;
mod running;
mod series;
