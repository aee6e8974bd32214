//! Stand-ins for FCM and SES that capture what arrives.
