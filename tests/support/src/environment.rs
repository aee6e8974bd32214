//! Variables that a service under test is started with. The ones for the providers come from the
//! sandbox (`sandbox::fcm_variables`, `sandbox::ses_variables`).

use std::collections::BTreeMap;

/// Variables by name.
pub type Variables = BTreeMap<&'static str, String>;

/// Variables of every service: its database, and free ports of the loopback.
#[must_use]
pub fn service(database_url: &str) -> Variables {
    BTreeMap::from([
        ("BIND_ADDRESS", "127.0.0.1".to_owned()),
        ("PORT", "0".to_owned()),
        ("ADMIN_PORT", "0".to_owned()),
        ("DATABASE_URL", database_url.to_owned()),
    ])
}

/// Variables that select the postgres bus.
#[must_use]
pub fn postgres_bus(url: &str) -> Variables {
    BTreeMap::from([("BUS", "postgres".to_owned()), ("BUS_DATABASE_URL", url.to_owned())])
}
