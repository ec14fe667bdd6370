//! What was probably meant: the nearest of the words that would have been right.

/// Longer words are no slips of the finger; letters.
const LONGEST: usize = 100;
/// Among more candidates the search would take longer than it helps.
const MOST: usize = 2000;

/// The candidate that a slip of the finger away from `word`, if there is one.
pub fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > LONGEST {
        return None;
    }
    let word_lower = word.to_lowercase();
    let letters = word.chars().count();
    let allowed = (letters / 3).clamp(1, 3);
    candidates
        .into_iter()
        .take(MOST)
        .filter(|candidate| {
            *candidate != word && candidate.chars().count().abs_diff(letters) <= allowed
        })
        .map(|candidate| (distance(&word_lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().map(plain).collect();
    let right: Vec<char> = right.chars().map(plain).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for row in 1..=left.len() {
        let mut current = vec![row];
        for column in 1..=right.len() {
            let change = usize::from(left[row - 1] != right[column - 1]);
            let mut best = (above[column - 1] + change)
                .min(above[column] + 1)
                .min(current[column - 1] + 1);
            let swapped = row > 1
                && column > 1
                && left[row - 1] == right[column - 2]
                && left[row - 2] == right[column - 1];
            if swapped {
                best = best.min(before[column - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

/// `depends-on` is `depends_on`.
fn plain(letter: char) -> char {
    if letter == '-' { '_' } else { letter }
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn slips_of_the_finger_are_found() {
        let words = [
            "image",
            "build",
            "ports",
            "depends_on",
            "environment",
            "cap_add",
        ];
        let rows = [
            ("imag", Some("image")),
            ("iamge", Some("image")),
            ("depends-on", Some("depends_on")),
            ("enviroment", Some("environment")),
            ("Port", Some("ports")),
            ("zebra", None),
            ("x", None),
        ];
        for (word, expected) in rows {
            assert_eq!(did_you_mean(word, words), expected, "{word}");
        }
    }
}
