//! What a REST API is told by its environment.

use super::{cors::AllowedOrigins, guard::AllowedHosts, server::ServerSettings};
use crate::config::Reader;

/// How an API is wrapped and served.
#[derive(Debug, Clone, Default)]
pub struct ApiSettings {
    /// Origins whose pages may call the API (`CORS_ALLOWED_ORIGINS`); none by default.
    pub origins: AllowedOrigins,
    /// Names under which the API may be addressed (`ALLOWED_HOSTS`); any by default.
    pub hosts: Option<AllowedHosts>,
    /// Limits of its connections.
    pub server: ServerSettings,
}

impl ApiSettings {
    /// Reads `CORS_ALLOWED_ORIGINS`, `ALLOWED_HOSTS` and the limits of connections.
    pub fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let origins = reader
            .optional("CORS_ALLOWED_ORIGINS", "origins of web clients, comma-separated, or * for any; none by default");
        let internal = Self::read_internal(reader);
        Some(Self { origins: origins.unwrap_or_default(), ..internal? })
    }

    /// Reads what an internal API needs: `ALLOWED_HOSTS` and the limits of connections. No page of another origin may
    /// call it.
    pub fn read_internal(reader: &mut Reader<'_>) -> Option<Self> {
        let hosts = reader.optional(
            "ALLOWED_HOSTS",
            "host names the API answers to, comma-separated (guards against DNS rebinding); any by default",
        );
        let server = ServerSettings::read(reader);
        Some(Self { origins: AllowedOrigins::None, hosts, server: server? })
    }
}
