//! The composition: configuration, providers, surfaces and the running server around the engine.
//! Decides nothing about messages; that is the engine's. Only [`providers`] names a provider.

pub mod config;
mod http;
pub mod logs;
mod ops;
pub mod providers;
pub mod serve;
mod surface;
pub mod telemetry;
mod webhooks;
pub mod wiring;

pub use surface::explain;
