//! Settings of a REST API.

use env_config::Reader;
use service::http::{AllowedOrigins, ServerSettings, guard::AllowedHosts};

use super::{
    body_memory::{self, DEFAULT_MIB},
    rate_limit::RateLimit,
};

/// Settings of a REST API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Origins whose pages may call the API (`CORS_ALLOWED_ORIGINS`); none by default.
    pub origins: AllowedOrigins,
    /// Names under which the API may be addressed (`ALLOWED_HOSTS`); any by default.
    pub hosts: Option<AllowedHosts>,
    /// Rate limit of one user (`RATE_LIMIT_PER_SECOND`, `RATE_LIMIT_BURST`); `None` in the default
    /// of this type.
    pub rate_limit: Option<RateLimit>,
    /// Memory budget of all request bodies in MiB, and also of all responses that wait for their
    /// clients (`HTTP_BODY_MEMORY_MIB`).
    pub body_memory_mib: usize,
    /// Limits of connections.
    pub server: ServerSettings,
    /// Routes that need no identity, as the router knows them. Their handlers limit the rate of
    /// their calls.
    pub public_routes: &'static [&'static str],
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            origins: AllowedOrigins::None,
            hosts: None,
            rate_limit: None,
            body_memory_mib: DEFAULT_MIB,
            server: ServerSettings::default(),
            public_routes: &[],
        }
    }
}

impl ApiSettings {
    /// Reads `CORS_ALLOWED_ORIGINS`, the rate limit, `ALLOWED_HOSTS` and the limits of bodies and
    /// connections.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let origins = reader.optional(
            "CORS_ALLOWED_ORIGINS",
            "origins of web clients, separated by commas, or * for any; unset: none",
        );
        let rate_limit = RateLimit::read(reader);
        let internal = Self::read_internal(reader);
        Some(Self { origins: origins.unwrap_or_default(), rate_limit: rate_limit?, ..internal? })
    }

    /// Reads the settings of an internal API: `ALLOWED_HOSTS` and the limits of bodies and
    /// connections. Pages of other origins are refused. Its callers are operators and services,
    /// which have no rate limit.
    pub fn read_internal(reader: &mut Reader<'_>) -> Option<Self> {
        let hosts = reader.optional(
            "ALLOWED_HOSTS",
            "host names that the API answers to, separated by commas (guards against DNS \
            rebinding); unset: any",
        );
        let body_memory_mib = body_memory::read(reader);
        let server = ServerSettings::read(reader);
        Some(Self {
            origins: AllowedOrigins::None,
            hosts,
            rate_limit: None,
            body_memory_mib: body_memory_mib?,
            server: server?,
            public_routes: &[],
        })
    }
}
