//! Differential privacy for sums: what bounds an update, what noise hides it, and what was spent.
