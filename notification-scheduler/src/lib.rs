//! Claims due occurrences and publishes them.
