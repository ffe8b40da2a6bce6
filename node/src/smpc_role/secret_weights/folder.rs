//! A party's folder: its two components of every matrix.

use std::path::Path;
use std::sync::Arc;

use neuro_primitives::Hash;
use neuro_smpc::nn::{LayerWeights, Matrix, ModelWeights, WeightError};
use neuro_smpc::party::PartyId;
use neuro_smpc::share::Shares;

use super::split::SALT_BYTES;
use super::{Manifest, PublicPart, SecretWeightsError, component_file, read};
use crate::smpc_role::blocks;
use crate::smpc_role::model::ModelFacts;

/// What a party has of a private model.
pub struct PartyFolder {
    /// The owner's word.
    pub manifest: Manifest,
    /// What a session has to know.
    pub facts: ModelFacts,
    /// Shares.
    pub weights: Arc<ModelWeights>,
}

impl PartyFolder {
    /// Reads the folder of `party`.
    ///
    /// # Errors
    /// Files that are missing, or are not those that the manifest names.
    pub fn read(folder: &Path, party: PartyId) -> Result<Self, SecretWeightsError> {
        Self::with(folder, |component_of, manifest, count| component(folder, component_of, manifest, count), party)
    }

    /// A folder of no weights, as long as those are: for rehearsals, from the public part in `folder`.
    ///
    /// # Errors
    /// Files that are missing, or are not those that the manifest names.
    pub fn without_weights(folder: &Path) -> Result<Self, SecretWeightsError> {
        Self::with(folder, |_, _, count| Ok(vec![0; count]), PartyId::ALL[0])
    }

    /// With the components that `component` gives: so many words of one of them.
    fn with(
        folder: &Path,
        component: impl Fn(PartyId, &Manifest, usize) -> Result<Vec<u64>, SecretWeightsError>,
        party: PartyId,
    ) -> Result<Self, SecretWeightsError> {
        let manifest = Manifest::read(folder)?;
        let public = PublicPart::read(folder, &manifest)?;
        let skeleton = blocks::skeleton(public.config())?;
        let sizes = |[outputs, inputs]: &[usize; 2]| outputs * inputs;
        let count = skeleton.layers * skeleton.matrices.iter().map(sizes).sum::<usize>() + sizes(&skeleton.output);
        let parts = [component(party, &manifest, count)?, component(party.next(), &manifest, count)?];
        let mut rest = Components { parts, from: 0 };
        let mut matrix = |size: [usize; 2]| rest.matrix(size).map_err(unfit);
        let mut layer = || -> Result<LayerWeights, SecretWeightsError> {
            let [query, key, value, output, router, gate_and_up, down] = skeleton.matrices;
            Ok(LayerWeights {
                query: matrix(query)?,
                key: matrix(key)?,
                value: matrix(value)?,
                output: matrix(output)?,
                router: matrix(router)?,
                gate_and_up: matrix(gate_and_up)?,
                down: matrix(down)?,
            })
        };
        let layers = (0..skeleton.layers).map(|_| layer()).collect::<Result<_, _>>()?;
        let output = matrix(skeleton.output)?;
        let weights = ModelWeights {
            shape: skeleton.shape,
            rms_eps: skeleton.rms_eps,
            rotation: skeleton.rotation,
            layers,
            output,
        };
        Ok(Self { facts: public.facts(&manifest), manifest, weights: Arc::new(weights) })
    }
}

/// Two components, matrix after matrix.
struct Components {
    parts: [Vec<u64>; 2],
    from: usize,
}

impl Components {
    fn matrix(&mut self, [outputs, inputs]: [usize; 2]) -> Result<Matrix, WeightError> {
        let range = self.from..self.from + outputs * inputs;
        self.from = range.end;
        let part = |part: &Vec<u64>| part.get(range.clone()).unwrap_or_default().to_vec();
        let [own, next] = self.parts.each_ref().map(part);
        Matrix::shared(outputs, inputs, Shares::new(own, next))
    }
}

/// `[count]` weights of one component, which must be the manifest's.
fn component(
    folder: &Path,
    component: PartyId,
    manifest: &Manifest,
    count: usize,
) -> Result<Vec<u64>, SecretWeightsError> {
    let path = component_file(folder, component);
    let bytes = read(path.clone())?;
    if Hash::of(&bytes) != manifest.components[component.index()] {
        return Err(SecretWeightsError::Component { path, component: component.index() });
    }
    let (words, rest) = bytes.get(SALT_BYTES..).unwrap_or_default().as_chunks();
    if words.len() != count || !rest.is_empty() {
        return Err(SecretWeightsError::Length { path, expected: count, got: words.len() });
    }
    Ok(words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// Cannot be, since the component's length was compared.
fn unfit(source: WeightError) -> SecretWeightsError {
    blocks::BlocksError::Weight { name: "a component".to_owned(), source }.into()
}
