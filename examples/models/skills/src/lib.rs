//! A small trained mixture-of-experts model with ten checkable skills, carried inside the program.
