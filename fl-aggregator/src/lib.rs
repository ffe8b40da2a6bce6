//! What a federated task is and what follows a round: strategies, selection, robust rules, the budget. No I/O.
