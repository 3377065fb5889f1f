//! One suite for every provider.
