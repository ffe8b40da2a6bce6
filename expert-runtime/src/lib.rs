//! Engines that compute experts, the contribution rule that makes their sums exact, and one conformance suite for all.
