//! Schema of the platform of a device: the domain does not know the description of the API.

use utoipa::ToSchema;

/// Platform of a device.
#[derive(ToSchema)]
#[schema(as = DeviceType, rename_all = "lowercase")]
#[expect(dead_code, reason = "describes `domain::device::DeviceType`, and has no values")]
pub(super) enum DeviceTypeSchema {
    /// A browser.
    Web,
    /// An Android device.
    Android,
    /// An iPhone or iPad.
    Ios,
}
