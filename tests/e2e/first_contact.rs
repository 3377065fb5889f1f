//! The first minute of a newcomer: `gateway dev` and the lines it prints.
