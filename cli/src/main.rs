//! The neuro program: commands, dashboard, progress, output.

fn main() {}
