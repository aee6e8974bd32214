//! The internal REST API, by the production builder.
