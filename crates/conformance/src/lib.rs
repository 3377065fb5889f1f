//! Suites shared by all providers and by all stores. A dev-dependency, never part of the product.

pub mod provider;
pub mod store;
pub mod upstream;
