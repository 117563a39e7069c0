// SPDX-License-Identifier: GPL-2.0

//! Delta debugging with many candidates per try, as the time of a boot hardly depends on their
//! number.

use anyhow::Result;

/// Returns a part of a list that fails, and does not fail without any one of its elements.
///
/// `fails` returns which of several lists fail. The whole list fails.
pub fn shrink(
    mut list: Vec<u32>,
    mut fails: impl FnMut(&[Vec<u32>]) -> Result<Vec<bool>>,
) -> Result<Vec<u32>> {
    let mut size = list.len().div_ceil(8);
    while !list.is_empty() {
        let pieces: Vec<_> = (0..list.len()).step_by(size).collect();
        let without = |left_out: &[usize]| -> Vec<u32> {
            let kept = |index: usize| !left_out.contains(&(index / size * size));
            let elements = list.iter().enumerate();
            elements.filter(|&(index, _)| kept(index)).map(|(_, &element)| element).collect()
        };
        let candidates: Vec<_> = pieces.iter().map(|&piece| without(&[piece])).collect();
        let verdicts = fails(&candidates)?;
        let needless: Vec<_> = pieces
            .into_iter()
            .zip(verdicts)
            .filter_map(|(piece, fails)| fails.then_some(piece))
            .collect();
        match needless.len() {
            0 if size == 1 => break,
            0 => size = size.div_ceil(4),
            1 => list = without(&needless),
            // Each can be left out alone. Find how many can be left out together.
            count => {
                let candidates: Vec<_> = (2..=count).map(|end| without(&needless[..end])).collect();
                let together = fails(&candidates)?.iter().rposition(|&fails| fails);
                list = without(&needless[..together.map_or(1, |index| index + 2)]);
            }
        }
        size = size.min(list.len().max(1));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortest(length: u32, wrong: impl Fn(&[u32]) -> bool) -> Vec<u32> {
        shrink((0..length).collect(), |lists| Ok(lists.iter().map(|list| wrong(list)).collect()))
            .unwrap()
    }

    #[test]
    fn needed_elements_are_found() {
        for needed in [vec![], vec![0], vec![199], vec![3, 4, 150], vec![0, 77, 78, 199]] {
            let found = shortest(200, |list| needed.iter().all(|n| list.contains(n)));
            assert_eq!(found, needed);
        }
    }

    #[test]
    fn one_of_several_reasons_is_found() {
        let found = shortest(100, |list| list.contains(&10) || list.contains(&90));
        assert_eq!(found.len(), 1);
        // Elements that can be left out alone but not together.
        assert_eq!(shortest(64, |list| list.len() >= 5).len(), 5);
    }

    #[test]
    fn all_are_kept_if_all_are_needed() {
        assert_eq!(shortest(9, |list| list.len() == 9).len(), 9);
        assert_eq!(shortest(1, |list| list.len() == 1), [0]);
    }
}
