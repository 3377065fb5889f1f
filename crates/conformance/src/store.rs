//! One suite for every store; written by the store itself.
