//! `config/gateway.toml`: every key with its meaning and its built-in default. Compiled in; a test
//! holds it equal to the defaults of the schema.

/// The reference file.
pub const REFERENCE: &str = include_str!("../../../../config/gateway.toml");
