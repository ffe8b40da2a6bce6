//! Rebuilt secrets, and the masks that are left in the sum of the survivors (section 9.3).

use std::sync::Arc;

use neuro_primitives::{Hash, NodeId};
use zeroize::Zeroizing;

use super::answer::AnswerPhase;
use super::effect::Effect;
use super::evidence::Evidence;
use super::round::Round;
use crate::assembly::{Assembly, Seated, pair_job};
use crate::group::{KeyPair, Scalar, agree_all};
use crate::identity::Member;
use crate::kdf::MaskContext;
use crate::masks::{MaskJob, Sign};
use crate::shamir::LagrangeCache;
use crate::share_tree::ShareKind;

/// The caller removes the masks.
pub(super) struct UnmaskPhase {
    pub(super) assembly: Arc<Assembly>,
    /// `Z`.
    pub(super) survivors: Hash,
    /// Whose payloads are in the sum, ascending.
    pub(super) in_sum: Vec<NodeId>,
    dead: Vec<NodeId>,
    jobs: Vec<MaskJob>,
}

impl UnmaskPhase {
    pub(super) fn new(answered: AnswerPhase, jobs: Vec<MaskJob>) -> Self {
        let vote = &answered.vote;
        let seated = &vote.upload.shared.seated;
        let dead = seated.without(&vote.upload.complete, &vote.survivors);
        Self {
            assembly: seated.assembly.clone(),
            survivors: vote.hash,
            in_sum: seated.nodes_of(&vote.survivors),
            dead: seated.nodes_of(&dead),
            jobs,
        }
    }

    pub(super) fn announce(&self, out: &mut Vec<Effect>) {
        out.push(Effect::Unmask { jobs: self.jobs.clone() });
    }

    /// Says again which payloads belong into the sum.
    pub(super) fn settle(&self, out: &mut Vec<Effect>) {
        out.extend(self.in_sum.iter().map(|&node| Effect::Add(node)));
        out.extend(self.dead.iter().map(|&node| Effect::Subtract(node)));
    }
}

/// Everything to remove from Σ_{i∈S} y_i: the survivors' self-masks, and the pair masks between survivors and the dead.
///
/// # Errors
/// Evidence against a dealer whose shares, all in its signed root, rebuild another secret than it signed for.
pub(super) fn jobs(answered: &AnswerPhase, round: &Round) -> Result<Vec<MaskJob>, Box<Evidence>> {
    let shared = &answered.vote.upload.shared;
    let context = shared.seated.mask_context(round.config(), &shared.hash);
    let mut cache = LagrangeCache::default();
    let mut jobs = Vec::new();
    // By number, since the neighbours of every survivor are looked up.
    let mut dead = vec![None; shared.seated.n().into()];
    for dealer in shared.sharers.iter() {
        let secret = rebuild(answered, dealer, &mut cache)?;
        match answered.kind(dealer) {
            ShareKind::SelfMask => {
                let seed = context.own(&secret, shared.seated.node(dealer));
                jobs.push(MaskJob { seed, sign: Sign::Minus });
            }
            ShareKind::MaskKey => dead[dealer.index()] = Some(Box::new(KeyPair::new(*secret))),
        }
    }
    for survivor in answered.vote.survivors.iter() {
        pair_jobs(&shared.seated, survivor, &dead, &context, &mut jobs);
    }
    Ok(jobs)
}

/// The first t good shares of `dealer` give the secret that it signed for, or prove that they do not.
fn rebuild(
    answered: &AnswerPhase,
    dealer: Member,
    cache: &mut LagrangeCache,
) -> Result<Zeroizing<Scalar>, Box<Evidence>> {
    let shared = &answered.vote.upload.shared;
    let seated = &shared.seated;
    let held = answered.shares.get(&dealer).into_iter().flatten();
    let shares: Vec<(Member, Scalar)> = held.map(|(holder, share)| (*holder, **share)).collect();
    let statement = shared.kept.statement(dealer);
    let secret = cache.rebuild(&shares).ok().map(Zeroizing::new).filter(|secret| match answered.kind(dealer) {
        ShareKind::MaskKey => KeyPair::new(**secret).public() == seated.row(dealer).mask_key,
        ShareKind::SelfMask => {
            let commitment = seated.dealing(dealer).self_mask_commitment(secret);
            statement.is_some_and(|signed| signed.statement.self_mask_commitment == commitment)
        }
    });
    let evidence = || Evidence::BadDealer {
        dealer: seated.node(dealer),
        statement: statement.cloned().map(Box::new),
        kind: answered.kind(dealer),
        shares: shares.iter().map(|(holder, share)| (seated.node(*holder), share.to_bytes())).collect(),
    };
    secret.ok_or_else(|| Box::new(evidence()))
}

/// What `survivor` added on its edges with its `dead` neighbours, whose keys are at their numbers, taken away.
fn pair_jobs(
    seated: &Seated,
    survivor: Member,
    dead: &[Option<Box<KeyPair>>],
    context: &MaskContext,
    jobs: &mut Vec<MaskJob>,
) {
    let neighbours = seated.graph.neighbours(survivor).iter();
    let (dead, keys): (Vec<Member>, Vec<&KeyPair>) =
        neighbours.filter_map(|neighbour| Some((*neighbour, dead[neighbour.index()].as_deref()?))).unzip();
    for (dead, shared) in dead.into_iter().zip(agree_all(&keys, &seated.row(survivor).mask_key)) {
        let seed = context.pair(&shared, seated.node(survivor), seated.node(dead));
        let MaskJob { seed, sign } = pair_job(seed, survivor, dead);
        jobs.push(MaskJob { seed, sign: sign.opposite() });
    }
}
