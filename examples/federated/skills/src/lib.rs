//! Teaches a model two new skills by federated rounds, one expert a cohort, and compares it with central training.
//!
//! ```text
//! base ─ with_more_experts ─▶ opening ─▶ sort │ reverse ─▶ mixing ─▶ router ─▶ record/added.safetensors
//!                             (rows)      (one expert each)  (both)    (rows)
//! one round: participants ─ MoeTrainer ─▶ updates ─ encode_update ─▶ payloads ─ Accumulator ─▶ sum
//!                 ▲                                                                           │
//!               model ◀──────────────── FedAdam (Strategy) ◀──────────── decode_sum ──────────┘
//! ```
//!
//! The base knows eight skills. It gets one new expert a layer for each new skill (Branch-Train-MiX, FlexOlmo). First
//! all participants, holders of the old skills among them, settle which rows go where. Then those who hold questions of
//! `sort` alone train its expert, and others, who hold `reverse`, theirs. All participants then train the two experts
//! together for a while, as Branch-Train-MiX does, and a short round of the routers comes last. Only the new experts
//! and the new rows of the routers are ever trained, so the old experts keep their bits. Central training has the same
//! base, tensors, examples and steps; a step of it sees at once what all participants see in their step of that number.

pub mod budget;
pub mod cohort;
pub mod corpus;
pub mod marking;
pub mod masked;
pub mod plan;
pub mod record;
pub mod run;
pub mod vectors;
pub mod version;
