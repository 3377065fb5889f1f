//! A scripted upstream on loopback.
