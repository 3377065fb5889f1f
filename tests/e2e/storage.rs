//! Written beside this one.
