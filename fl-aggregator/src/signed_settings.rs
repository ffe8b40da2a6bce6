//! Field 10 of a configuration: what every trainer of a cohort is told, under the aggregator's one signature.
//!
//! A server that told one participant another learning rate than all others could read its update off the sum: with the
//! others' rates at zero the sum *is* that update. So whatever steers training (strategy, control variate, `[training]`)
//! and what is measured in an evaluation stands in the configuration, whose hash everybody's keys are bound to.
//!
//! | Field | Bytes | |
//! |---|---|---|
//! | format | 1 | 1 |
//! | strategy | 4 + | [`StrategySettings::encode`] |
//! | control | 1 + 0 or 32 | SCAFFOLD: BLAKE3 of the file of c that goes out |
//! | training | 4 + each | name, then 0: i64, 1: f64, 2: text, 3: flag; ascending by name |
//! | metrics | 4 + each | names, ascending; some if and only if the round is an evaluation |

use crate::evaluation::MOST_METRICS;
use crate::strategy::{StrategyError, StrategySettings};
use neuro_primitives::Hash;
use neuro_primitives::codec::{CodecError, Reader, Writer};
use neuro_secagg::config::MOST_STRATEGY_BYTES;
use serde_json::{Map, Number, Value};

/// The format that this build writes.
const FORMAT: u8 = 1;

/// What the settings hold.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedSettings {
    /// How updates are made and applied.
    pub strategy: StrategySettings,
    /// SCAFFOLD: names the server's control variate.
    pub control: Option<Hash>,
    /// `[training]` of the plan: numbers, texts and flags.
    pub training: Map<String, Value>,
    /// An evaluation's metrics, ascending; none in a round that trains.
    pub metrics: Vec<String>,
}

/// Bytes that are no settings.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Another format.
    #[error("expected settings of format {FORMAT}, got {got}")]
    Format {
        /// Its number.
        got: u8,
    },
    /// The strategy's part.
    #[error(transparent)]
    Strategy(#[from] StrategyError),
    /// Not the canonical form.
    #[error("expected canonical settings: {0}")]
    Codec(#[from] CodecError),
    /// A name twice, or names in another order.
    #[error("expected {what} in ascending order, got {got:?} after its successor")]
    Order {
        /// Names of what.
        what: &'static str,
        /// The first that is out of order.
        got: String,
    },
    /// A value of no kind.
    #[error("expected a number, a text or a flag as {name:?}, got something else")]
    Value {
        /// The setting.
        name: String,
    },
}

impl SignedSettings {
    /// A strategy, and nothing else to tell.
    #[must_use]
    pub fn of(strategy: StrategySettings) -> Self {
        Self { strategy, control: None, training: Map::new(), metrics: Vec::new() }
    }

    /// Whether participants measure instead of training.
    #[must_use]
    pub fn is_evaluation(&self) -> bool {
        !self.metrics.is_empty()
    }

    /// The canonical form. Settings that are no numbers, texts or flags are left out; a plan has none.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u8(FORMAT);
        out.bytes(&self.strategy.encode());
        out.flag(self.control.is_some());
        self.control.iter().for_each(|hash| out.raw(&hash.0));
        let mut training: Vec<(&String, &Value)> = self.training.iter().filter(|(_, value)| is_plain(value)).collect();
        training.sort_unstable_by_key(|(name, _)| *name);
        out.count(training.len());
        training.into_iter().for_each(|(name, value)| put(&mut out, name, value));
        out.count(self.metrics.len());
        self.metrics.iter().for_each(|name| out.text(name));
        out.finish()
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// Bytes that are something else, in another order, or more of them than a configuration holds.
    pub fn decode(bytes: &[u8]) -> Result<Self, SettingsError> {
        let mut from = Reader::new(bytes);
        match from.u8()? {
            FORMAT => {}
            got => return Err(SettingsError::Format { got }),
        }
        let strategy = StrategySettings::decode(from.bytes("bytes of the strategy", MOST_STRATEGY_BYTES)?)?;
        let control = if from.flag()? { Some(Hash(from.array()?)) } else { None };
        let count = from.count("training settings", MOST_STRATEGY_BYTES, 5)?;
        let training = (0..count).map(|_| take(&mut from)).collect::<Result<Vec<_>, _>>()?;
        ascending("training settings", training.iter().map(|(name, _)| name))?;
        let count = from.count("metrics", MOST_METRICS, 4)?;
        let metrics = (0..count).map(|_| text(&mut from, "bytes of a metric's name")).collect::<Result<Vec<_>, _>>()?;
        ascending("metrics", metrics.iter())?;
        from.finish()?;
        Ok(Self { strategy, control, training: training.into_iter().collect(), metrics })
    }
}

/// What stands for the layout in the configuration of an evaluation: the hash of the metrics' names.
#[must_use]
pub fn metrics_layout(metrics: &[String]) -> Hash {
    let mut names = Writer::new();
    names.raw(b"neuro/fl/metrics/1\0");
    names.count(metrics.len());
    metrics.iter().for_each(|name| names.text(name));
    Hash::of(&names.finish())
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Number(_) | Value::String(_) | Value::Bool(_))
}

fn put(out: &mut Writer, name: &str, value: &Value) {
    out.text(name);
    match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => {
                out.u8(0);
                out.u64(whole.cast_unsigned());
            }
            None => {
                out.u8(1);
                out.u64(number.as_f64().unwrap_or_default().to_bits());
            }
        },
        Value::String(text) => {
            out.u8(2);
            out.text(text);
        }
        other => {
            out.u8(3);
            out.flag(other.as_bool().unwrap_or_default());
        }
    }
}

fn take(from: &mut Reader<'_>) -> Result<(String, Value), SettingsError> {
    let name = text(from, "bytes of a setting's name")?;
    let value = match from.u8()? {
        0 => Some(Value::from(from.u64()?.cast_signed())),
        1 => Number::from_f64(f64::from_bits(from.u64()?)).map(Value::Number),
        2 => Some(Value::String(text(from, "bytes of a setting")?)),
        3 => Some(Value::Bool(from.flag()?)),
        _ => None,
    };
    value.map(|value| (name.clone(), value)).ok_or(SettingsError::Value { name })
}

fn text(from: &mut Reader<'_>, what: &'static str) -> Result<String, CodecError> {
    from.text(what, MOST_STRATEGY_BYTES).map(str::to_owned)
}

fn ascending<'a>(what: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), SettingsError> {
    let names: Vec<&String> = names.collect();
    match names.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) => Err(SettingsError::Order { what, got: pair[1].clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SignedSettings {
        let training = serde_json::json!({"rate": 0.05, "epochs": 3, "mode": "fast", "shuffle": true, "seed": -4});
        SignedSettings {
            strategy: StrategySettings::Scaffold { rate: 1.0, rho: 0.5 },
            control: Some(Hash::of(b"c")),
            training: training.as_object().unwrap().clone(),
            metrics: vec!["accuracy".into(), "loss".into()],
        }
    }

    #[test]
    fn settings_have_one_form_and_come_back() {
        let bytes = settings().encode();
        let read = SignedSettings::decode(&bytes).unwrap();
        assert_eq!(read.training["rate"], 0.05);
        assert_eq!(read.encode(), bytes, "whatever order the plan has them in");
        assert_eq!((read.control, read.metrics.len()), (settings().control, 2));
        for length in 0..bytes.len() {
            assert!(SignedSettings::decode(&bytes[..length]).is_err(), "{length} bytes");
        }
        assert!(SignedSettings::decode(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn another_order_or_format_is_refused() {
        let twice = SignedSettings { metrics: vec!["b".into(), "a".into()], ..settings() };
        assert!(matches!(SignedSettings::decode(&twice.encode()), Err(SettingsError::Order { what: "metrics", .. })));
        let mut other = settings().encode();
        other[0] = 2;
        assert_eq!(SignedSettings::decode(&other), Err(SettingsError::Format { got: 2 }));
    }

    #[test]
    fn every_value_changes_the_bytes() {
        let with = |name: &str, value: Value| {
            let mut changed = settings();
            changed.training.insert(name.into(), value);
            changed.encode()
        };
        assert_ne!(with("rate", 0.0.into()), settings().encode());
        assert_ne!(with("epochs", 3.0.into()), settings().encode(), "a float is no whole number");
        assert_ne!(SignedSettings { control: None, ..settings() }.encode(), settings().encode());
    }
}
