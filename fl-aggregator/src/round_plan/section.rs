//! Typed access to the fields of a TOML table, with errors that name line and field.

use super::PlanError;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The most lines, fields and nesting are bounded by this: a plan is a page or two.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// One table of the file. Fields that were asked for are remembered, so that the others can be refused.
pub(super) struct Section<'a> {
    source: &'a str,
    /// Its name with a point behind it; empty for the file itself.
    prefix: String,
    line: usize,
    table: &'a DeTable<'a>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub(super) fn root(source: &'a str, table: &'a DeTable<'a>) -> Self {
        Self { source, prefix: String::new(), line: 1, table, asked: RefCell::default() }
    }

    /// An error about `field`.
    pub(super) fn wrong(&self, field: &str, expected: impl Display, got: impl Display) -> PlanError {
        let at = self.table.iter().find(|(name, _)| name.get_ref() == field);
        let line = at.map_or(self.line, |(name, _)| line_of(self.source, name.span().start));
        PlanError { line, field: self.path(field), expected: expected.to_string(), got: got.to_string() }
    }

    fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    fn get(&self, field: &'static str) -> Option<&'a DeValue<'a>> {
        self.asked.borrow_mut().insert(field);
        self.table.iter().find(|(name, _)| name.get_ref() == field).map(|(_, value)| value.get_ref())
    }

    fn or_default<T>(&self, field: &str, expected: impl Display, default: Option<T>) -> Result<T, PlanError> {
        default.ok_or_else(|| self.wrong(field, expected, "nothing"))
    }

    /// A whole number in `range`.
    pub(super) fn whole<T: TryFrom<u64>>(
        &self,
        field: &'static str,
        range: RangeInclusive<u64>,
        default: Option<T>,
    ) -> Result<T, PlanError> {
        let expected = format!("as a whole number from {} to {}", range.start(), range.end());
        let Some(value) = self.get(field) else { return self.or_default(field, expected, default) };
        let number = integer(value).and_then(|number| u64::try_from(number).ok()).filter(|n| range.contains(n));
        number.and_then(|n| T::try_from(n).ok()).ok_or_else(|| self.wrong(field, expected, shown(value)))
    }

    /// A finite number that `good` accepts.
    pub(super) fn number(
        &self,
        field: &'static str,
        expected: &'static str,
        good: impl Fn(f64) -> bool,
        default: Option<f64>,
    ) -> Result<f64, PlanError> {
        let Some(value) = self.get(field) else { return self.or_default(field, expected, default) };
        let number = match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            other => integer(other).map(|number| number as f64),
        };
        number.filter(|n: &f64| n.is_finite() && good(*n)).ok_or_else(|| self.wrong(field, expected, shown(value)))
    }

    /// A finite number above 0.
    pub(super) fn positive(&self, field: &'static str, default: Option<f64>) -> Result<f64, PlanError> {
        self.number(field, "finite and above 0", |number| number > 0.0, default)
    }

    /// A share from 0 to 1 in 1/10,000.
    pub(super) fn bps(&self, field: &'static str, default: u16) -> Result<u16, PlanError> {
        let share = self.number(
            field,
            "as a share from 0 to below 1",
            |n| (0.0..1.0).contains(&n),
            Some(f64::from(default) / 10_000.0),
        )?;
        // Rounded up: a share that cannot be written exactly is tolerated, not undercut.
        Ok(((share * 10_000.0 - 1e-6).ceil().max(0.0)) as u16)
    }

    pub(super) fn flag(&self, field: &'static str, default: bool) -> Result<bool, PlanError> {
        let Some(value) = self.get(field) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(field, "as true or false", shown(value)))
    }

    /// A text of 1 to `most` bytes of printable ASCII.
    pub(super) fn text(&self, field: &'static str, most: usize, default: Option<&str>) -> Result<String, PlanError> {
        let expected = format!("as a text of 1 to {most} printable ASCII characters");
        let Some(value) = self.get(field) else {
            return self.or_default(field, expected, default.map(str::to_owned));
        };
        let good = |text: &&str| {
            (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
        };
        let text = value.as_str().filter(good).map(str::to_owned);
        text.ok_or_else(|| self.wrong(field, expected, shown(value)))
    }

    /// One of `names`.
    pub(super) fn one_of<T: Copy>(
        &self,
        field: &'static str,
        names: &[(&str, T)],
        default: Option<T>,
    ) -> Result<T, PlanError> {
        let listed: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
        let expected = format!("as one of {}", listed.join(", "));
        let Some(value) = self.get(field) else { return self.or_default(field, expected, default) };
        let found = value.as_str().and_then(|text| names.iter().find(|(name, _)| *name == text));
        found.map(|(_, value)| *value).ok_or_else(|| self.wrong(field, expected, shown(value)))
    }

    /// A list of texts, none of them empty; `None` where the field is missing.
    pub(super) fn texts(&self, field: &'static str) -> Result<Option<Vec<String>>, PlanError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let texts = value.as_array().and_then(|list| {
            list.iter().map(|item| item.get_ref().as_str().filter(|text| !text.is_empty()).map(str::to_owned)).collect()
        });
        let texts: Option<Vec<String>> = texts;
        let good = texts.filter(|texts| !texts.is_empty());
        good.map(Some).ok_or_else(|| self.wrong(field, "as a list of at least one text", shown(value)))
    }

    /// A list of different batch numbers; none where the field is missing.
    pub(super) fn batches(&self, field: &'static str) -> Result<Vec<u16>, PlanError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let read = |item: &Spanned<DeValue<'_>>| integer(item.get_ref()).and_then(|number| u16::try_from(number).ok());
        let list: Option<Vec<u16>> = value.as_array().and_then(|list| list.iter().map(read).collect());
        let mut list = list.ok_or_else(|| self.wrong(field, "as a list of batch numbers", shown(value)))?;
        list.sort_unstable();
        list.dedup();
        Ok(list)
    }

    /// The section `field`, if it is there.
    pub(super) fn section(&self, field: &'static str) -> Result<Option<Self>, PlanError> {
        self.get(field).map(|value| self.inner(field, value)).transpose()
    }

    /// The sections `[[field]]`, in the order of the file.
    pub(super) fn sections(&self, field: &'static str) -> Result<Vec<Self>, PlanError> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| self.wrong(field, format!("as [[{field}]]"), shown(value)))?;
        list.iter().map(|item| self.inner(field, item.get_ref()).map(|section| section.at(item.span().start))).collect()
    }

    fn inner(&self, field: &'static str, value: &'a DeValue<'a>) -> Result<Self, PlanError> {
        let table = value.as_table().ok_or_else(|| self.wrong(field, "as a section", shown(value)))?;
        let prefix = format!("{}.", self.path(field));
        let line = self.wrong(field, "", "").line;
        Ok(Self { source: self.source, prefix, line, table, asked: RefCell::default() })
    }

    fn at(mut self, byte: usize) -> Self {
        self.line = line_of(self.source, byte);
        self
    }

    /// Every field as JSON: for settings that are handed on.
    pub(super) fn handed_on(&self) -> Result<serde_json::Map<String, serde_json::Value>, PlanError> {
        let mut all = serde_json::Map::new();
        for (name, value) in self.table {
            let expected = "as a number, a text, true or false";
            let json = plain_json(value.get_ref());
            let json = json.ok_or_else(|| self.wrong(name.get_ref(), expected, shown(value.get_ref())))?;
            all.insert(name.get_ref().to_string(), json);
        }
        Ok(all)
    }

    /// Refuses the first field that nobody asked for.
    pub(super) fn finish(self) -> Result<(), PlanError> {
        let asked = self.asked.borrow();
        let known = |name: &str| asked.contains(name);
        match self.table.iter().find(|(name, _)| !known(name.get_ref())) {
            None => Ok(()),
            Some((name, _)) => {
                let list: Vec<&str> = asked.iter().copied().collect();
                Err(self.wrong(name.get_ref(), format!("to be one of {}", list.join(", ")), "an unknown field"))
            }
        }
    }
}

/// The line, from 1, of the byte at `at`.
pub(super) fn line_of(source: &str, at: usize) -> usize {
    source.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count() + 1
}

fn integer(value: &DeValue<'_>) -> Option<i128> {
    value.as_integer().and_then(|number| i128::from_str_radix(number.as_str(), number.radix()).ok())
}

fn plain_json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    match value {
        DeValue::String(text) => Some(text.as_ref().into()),
        DeValue::Boolean(flag) => Some((*flag).into()),
        DeValue::Float(float) => {
            serde_json::Number::from_f64(float.as_str().parse().ok()?).map(serde_json::Value::Number)
        }
        other => i64::try_from(integer(other)?).ok().map(Into::into),
    }
}

/// The value as the error shows it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(flag) => flag.to_string(),
        other => format!("a value of type {}", other.type_str()),
    }
}
