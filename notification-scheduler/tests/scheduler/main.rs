//! The scheduler on event-service's schema, in a real database, publishing to the bus that is in
//! it.

mod claim_cost;
mod claims;
mod fixture;
mod leases;
mod running;
mod series;
