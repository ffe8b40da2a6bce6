//! The rule of complaints on small complete graphs.
