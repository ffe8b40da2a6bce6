//! Stop strings in a stream of text.
//!
//! Text that may be the beginning of a stop string is held back until it is known not to be one. The match that ends
//! first wins, and of those that end together the one that began first: so the result does not depend on where the
//! tokens' borders fall.

/// Looks for stop strings in text that comes in pieces.
#[derive(Debug, Clone)]
pub struct StopMatcher {
    /// None of them empty.
    stops: Vec<String>,
    /// The longest end of the text so far that begins a stop string.
    held: String,
}

/// What a piece of text brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopStep {
    /// Text that is safe to show.
    pub text: String,
    /// Whether a stop string ended here. It is not part of any text, and nothing after it counts.
    pub stopped: bool,
}

impl StopMatcher {
    /// A matcher for `stops`. Empty strings would match everywhere and are left out.
    #[must_use]
    pub fn new(stops: &[String]) -> Self {
        Self { stops: stops.iter().filter(|stop| !stop.is_empty()).cloned().collect(), held: String::new() }
    }

    /// Takes the next piece of text.
    pub fn push(&mut self, text: &str) -> StopStep {
        self.held.push_str(text);
        if let Some(start) = self.first_match() {
            self.held.truncate(start);
            return StopStep { text: std::mem::take(&mut self.held), stopped: true };
        }
        let kept = self.held.split_off(self.safe_bytes());
        StopStep { text: std::mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The text still held back, once no more will come.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string that ends first begins.
    fn first_match(&self) -> Option<usize> {
        let matches = self.stops.iter().filter_map(|stop| {
            let start = self.held.find(stop.as_str())?;
            Some((start + stop.len(), start))
        });
        matches.min().map(|(_, start)| start)
    }

    /// Bytes of `held` that no stop string can claim any more.
    fn safe_bytes(&self) -> usize {
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = self.held.len().saturating_sub(longest.saturating_sub(1));
        let begins_a_stop = |start: &usize| {
            let end = &self.held.as_bytes()[*start..];
            self.stops.iter().any(|stop| stop.as_bytes().starts_with(end))
        };
        (from..self.held.len())
            .filter(|start| self.held.is_char_boundary(*start))
            .find(begins_a_stop)
            .unwrap_or(self.held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(stops: &[&str]) -> StopMatcher {
        StopMatcher::new(&stops.iter().map(|stop| (*stop).to_owned()).collect::<Vec<_>>())
    }

    /// All text that comes out when `pieces` go in, and whether a stop string was met.
    fn run(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let (mut matcher, mut out) = (matcher(stops), String::new());
        for piece in pieces {
            let step = matcher.push(piece);
            out.push_str(&step.text);
            if step.stopped {
                return (out, true);
            }
        }
        (out + &matcher.finish(), false)
    }

    #[test]
    fn a_stop_string_across_borders_is_never_shown() {
        let mut matcher = matcher(&["\nuser:"]);
        let step = |text: &str, stopped| StopStep { text: text.into(), stopped };
        assert_eq!(matcher.push("Hello\n"), step("Hello", false));
        assert_eq!(matcher.push("us"), step("", false));
        assert_eq!(matcher.push("er"), step("", false));
        assert_eq!(matcher.push(": more"), step("", true));
    }

    #[test]
    fn held_text_is_released_when_it_turns_out_harmless() {
        let mut matcher = matcher(&["END"]);
        assert_eq!(matcher.push("an E").text, "an ");
        assert_eq!(matcher.push("NTRY").text, "ENTRY");
        assert_eq!(matcher.push("EN").text, "");
        assert_eq!(matcher.finish(), "EN");
    }

    #[test]
    fn a_failed_start_may_hide_a_later_one() {
        assert_eq!(run(&["aab"], &["a", "a", "a", "b", "c"]), ("a".into(), true));
        assert_eq!(run(&["aab"], &["aaab"]), ("a".into(), true));
    }

    #[test]
    fn the_match_that_ends_first_wins() {
        assert_eq!(run(&["abcd", "bc"], &["xabcd"]), ("xa".into(), true));
        assert_eq!(run(&["abc", "c"], &["xabc"]), ("x".into(), true));
    }

    #[test]
    fn nothing_stops_without_stop_strings() {
        assert_eq!(run(&[], &["a", "", "b"]), ("ab".into(), false));
        assert_eq!(run(&[""], &["a"]), ("a".into(), false));
        assert_eq!(matcher(&[]).push("text at once").text, "text at once");
    }

    #[test]
    fn characters_of_many_bytes_are_never_cut() {
        // é is c3 a9 and è is c3 a8: they share their first byte
        assert_eq!(run(&["é!"], &["caf", "è", "é", "?"]), ("cafèé?".into(), false));
        assert_eq!(run(&["é!"], &["caf", "é", "!"]), ("caf".into(), true));
    }

    #[test]
    fn token_borders_do_not_matter() {
        let stop_sets: [&[&str]; 4] = [&["aba"], &["ab", "ba", "aab"], &["bbb", "abab"], &["aaaa", "b"]];
        for bits in 0..(1_u32 << 8) {
            let text: String = (0..8).map(|i| if bits >> i & 1 == 1 { 'b' } else { 'a' }).collect();
            for stops in stop_sets {
                let whole = run(stops, &[&text]);
                for cut in 1..8 {
                    assert_eq!(run(stops, &[&text[..cut], &text[cut..]]), whole, "{text} cut at {cut}, {stops:?}");
                }
                let letters: Vec<&str> = (0..8).map(|i| &text[i..=i]).collect();
                assert_eq!(run(stops, &letters), whole, "{text} letter by letter, {stops:?}");
            }
        }
    }
}
