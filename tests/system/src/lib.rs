//! Journeys through the real binaries.
