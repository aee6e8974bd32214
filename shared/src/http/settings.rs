//! Settings of a REST API.

use super::{
    body_memory::{self, DEFAULT_MIB},
    cors::AllowedOrigins,
    guard::AllowedHosts,
    rate_limit::RateLimit,
    server::ServerSettings,
};
use crate::config::Reader;

/// Settings of a REST API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Origins whose pages may call the API (`CORS_ALLOWED_ORIGINS`); none by default.
    pub origins: AllowedOrigins,
    /// Names under which the API may be addressed (`ALLOWED_HOSTS`); any by default.
    pub hosts: Option<AllowedHosts>,
    /// Calls of one user (`RATE_LIMIT_PER_SECOND`, `RATE_LIMIT_BURST`); no limit by default of this
    /// type.
    pub rate_limit: Option<RateLimit>,
    /// MiB that request bodies may take together, and answers that wait for their clients as much
    /// again (`HTTP_BODY_MEMORY_MIB`).
    pub body_memory_mib: usize,
    /// Limits of its connections.
    pub server: ServerSettings,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            origins: AllowedOrigins::None,
            hosts: None,
            rate_limit: None,
            body_memory_mib: DEFAULT_MIB,
            server: ServerSettings::default(),
        }
    }
}

impl ApiSettings {
    /// Reads `CORS_ALLOWED_ORIGINS`, the rate limit, `ALLOWED_HOSTS` and the limits of bodies and
    /// connections.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let origins = reader.optional(
            "CORS_ALLOWED_ORIGINS",
            "origins of web clients, comma-separated, or * for any; none by default",
        );
        let rate_limit = RateLimit::read(reader);
        let internal = Self::read_internal(reader);
        Some(Self { origins: origins.unwrap_or_default(), rate_limit: rate_limit?, ..internal? })
    }

    /// Reads what an internal API needs: `ALLOWED_HOSTS` and the limits of bodies and connections.
    /// No page of another origin may call it; its callers are operators and services, whose calls
    /// are not limited.
    pub fn read_internal(reader: &mut Reader<'_>) -> Option<Self> {
        let hosts = reader.optional(
            "ALLOWED_HOSTS",
            "host names the API answers to, comma-separated (guards against DNS rebinding); any by default",
        );
        let body_memory_mib = body_memory::read(reader);
        let server = ServerSettings::read(reader);
        Some(Self {
            origins: AllowedOrigins::None,
            hosts,
            rate_limit: None,
            body_memory_mib: body_memory_mib?,
            server: server?,
        })
    }
}
